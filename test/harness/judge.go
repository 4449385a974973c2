package harness

import (
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"github.com/berth-containers/berth/test/harness/swagger"
)

// Swagger is what answers are judged by.
func Swagger() *swagger.Library { return library() }

// library is read at first use and belongs to all engines of a test's process.
var library = sync.OnceValue(swagger.NewLibrary)

// judged fails the test for answers that the swagger describes otherwise.
func judged(t testing.TB, base http.RoundTripper) swagger.Transport {
	return swagger.Transport{Base: base, Library: library(), Tell: func(err error) { t.Errorf("the API: %v", err) }}
}

// Judge has what command-line clients are answered from now on judged by the
// swagger. The bytes of their connections are carried as they are.
func (e *Engine) Judge() {
	e.t.Helper()
	path := filepath.Join(e.Dir, "judged.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		e.t.Fatal(err)
	}
	var tapping sync.WaitGroup
	tapping.Go(func() {
		judged(e.t, nil).Tap(l, func() (net.Conn, error) { return net.Dial("unix", e.Socket) })
	})
	e.clients = path
	e.t.Cleanup(func() { // before the engine's own end, whose clients are not judged
		e.clients = e.Socket
		l.Close()
		tapping.Wait()
	})
}

// Clients is the socket that command-line clients are given.
func (e *Engine) Clients() string { return e.clients }
