package registry

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// wire is a way to a registry that breaks once, when so much has gone over it.
type wire struct {
	net.Listener
	to   string
	busy sync.WaitGroup

	mu   sync.Mutex
	sent int
	cut  int // 0: it broke already
	open []net.Conn
}

func newWire(t *testing.T, to string, cut int) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: to, cut: cut}
	w.busy.Go(w.serve)
	t.Cleanup(func() {
		l.Close()
		w.mu.Lock()
		open := w.open
		w.mu.Unlock()
		for _, c := range open {
			c.Close()
		}
		w.busy.Wait()
	})
	return w
}

func (w *wire) serve() {
	for {
		from, err := w.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", w.to)
		if err != nil {
			from.Close()
			continue
		}
		w.mu.Lock()
		w.open = append(w.open, from, to)
		w.mu.Unlock()
		w.busy.Go(func() {
			_, _ = io.Copy(from, to) // until either side has enough
			from.Close()
		})
		w.busy.Go(func() {
			_, _ = io.Copy(counting{to, w}, from)
			to.Close()
			from.Close()
		})
	}
}

type counting struct {
	io.Writer
	w *wire
}

func (c counting) Write(b []byte) (int, error) {
	c.w.mu.Lock()
	c.w.sent += len(b)
	breaks := c.w.cut > 0 && c.w.sent > c.w.cut
	if breaks {
		c.w.cut = 0
	}
	c.w.mu.Unlock()
	if breaks {
		return 0, io.ErrClosedPipe
	}
	return c.Writer.Write(b)
}

// A push whose connection breaks in the middle of a layer goes on from there,
// and what is in another repository already is mounted.
func TestPushGoesOn(t *testing.T) {
	const size = 24 << 20
	e := harness.New(t)
	r := newRegistry(t, t.TempDir())
	r.start()
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(file, harness.Archive(t, "app:1", harness.Layers(t, 1, size)...), 0o600); err != nil {
		t.Fatal(err)
	}
	e.OK("load", "-i", file)
	w := newWire(t, r.host, 10<<20)
	app := w.Addr().String() + "/team/app:1"
	e.OK("tag", "app:1", app)
	e.OK("push", app)
	w.mu.Lock()
	sent, broke := w.sent, w.cut == 0
	w.mu.Unlock()
	if !broke || sent > size*12/10 {
		t.Errorf("%d bytes went over the wire for %d; did it break: %v", sent, size, broke)
	}
	for client, run := range map[string]func(...string) string{"berth": e.OK, "docker": e.DockerOK} {
		other := w.Addr().String() + "/" + client + "/app:1"
		run("tag", app, other)
		if out := run("push", other); !strings.Contains(out, "Mounted from") {
			t.Errorf("%s sent what is there: %s", client, out)
		}
		e.OK("rmi", other)
	}
	if out := r.ok("", "check", "--deep"); strings.Contains(out, "WRONG") {
		t.Error(out)
	}
	e.OK("rmi", app, "app:1")
	e.OK("pull", app)
	e.OK("rmi", app)
}
