package swagger

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/berth-containers/berth/internal/sys/unixsock"
)

// Tap carries connections of clients to a server, byte for byte, and judges
// what it sees go by. It returns when l is closed and every connection ended.
func (t Transport) Tap(l net.Listener, dial func() (net.Conn, error)) {
	var active sync.WaitGroup
	defer active.Wait()
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		active.Go(func() {
			defer client.Close()
			server, err := dial()
			if err != nil {
				return
			}
			defer server.Close()
			t.carry(client, server)
		})
	}
}

func (t Transport) carry(client, server net.Conn) {
	requestsIn, requests := io.Pipe()
	answersIn, answers := io.Pipe()
	asked := make(chan *http.Request, 64)
	var all sync.WaitGroup
	all.Go(func() { readRequests(requestsIn, asked) })
	all.Go(func() { t.readAnswers(answersIn, asked) })
	all.Go(func() {
		copyHalf(server, client, requests)
		requests.Close()
		if u, ok := client.(*net.UnixConn); ok && unixsock.WaitHangup(u) == nil {
			server.Close() // the client is gone, not only silent
		}
	})
	all.Go(func() {
		copyHalf(client, server, answers)
		answers.Close()
		client.Close() // the server has ended: as if the client were at its socket
	})
	all.Wait()
}

// copyHalf copies one direction, and its end.
func copyHalf(dst, src net.Conn, copied io.Writer) {
	_, err := io.Copy(dst, io.TeeReader(onlyReader{src}, copied))
	half, ok := dst.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		dst.Close()
	}
}

type onlyReader struct{ io.Reader }

// readRequests tells the heads of requests, until something else comes.
func readRequests(from io.Reader, asked chan<- *http.Request) {
	defer io.Copy(io.Discard, from) //nolint:errcheck // until the end
	defer close(asked)
	r := bufio.NewReader(from)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		asked <- req
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
	}
}

// readAnswers judges answers until the connection becomes a stream.
func (t Transport) readAnswers(from io.Reader, asked <-chan *http.Request) {
	defer io.Copy(io.Discard, from) //nolint:errcheck // until the end
	r := bufio.NewReader(from)
	for req := range asked {
		resp, err := http.ReadResponse(r, req)
		for err == nil && resp.StatusCode == http.StatusContinue {
			resp, err = http.ReadResponse(r, req)
		}
		if err != nil || isStream(resp) {
			return
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, most))
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return
		}
		if err != nil || len(body) == most {
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				return
			}
			continue
		}
		if err := t.Library.Judge(req.Method, req.URL.Path, resp.StatusCode, resp.Header, body); err != nil {
			t.Tell(err)
		}
	}
}

func isStream(resp *http.Response) bool {
	return resp.StatusCode == http.StatusSwitchingProtocols || strings.HasPrefix(resp.Header.Get("Content-Type"), streamType)
}

// streamType begins the types of what a process writes.
const streamType = "application/vnd.docker."
