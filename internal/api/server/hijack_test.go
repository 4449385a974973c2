package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/engine"
	"github.com/berth-containers/berth/internal/logs"
)

// process is a process's stdio over a socket pair: the test has the other end.
func process(t *testing.T) (engine.Stream, *net.UnixConn) {
	t.Helper()
	l, err := net.Listen("unix", t.TempDir()+"/p")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near := dial(t, l.Addr().String())
	if err := near.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	if err := far.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return near, far.(*net.UnixConn)
}

func attachTo(t *testing.T, tty bool) (socket string, far *net.UnixConn) {
	t.Helper()
	near, far := process(t)
	_, socket = serve(t, &fakeEngine{attach: func(engine.AttachOptions) (*engine.Attached, error) {
		return &engine.Attached{Stream: near, TTY: tty}, nil
	}}, nil)
	return socket, far
}

func TestAttachHead(t *testing.T) {
	for _, row := range []struct {
		path, upgrade string
		tty           bool
		want          string
	}{
		{"/v1.44/containers/c/attach?stream=1&stdout=1", "tcp", false, "101 UPGRADED application/vnd.docker.multiplexed-stream Upgrade tcp"},
		{"/v1.44/containers/c/attach?stream=1&stdout=1", "tcp", true, "101 UPGRADED application/vnd.docker.raw-stream Upgrade tcp"},
		{"/v1.41/containers/c/attach?stream=1&stdout=1", "tcp", false, "101 UPGRADED application/vnd.docker.raw-stream Upgrade tcp"},
		{"/containers/c/attach?stream=1&stdout=1", "", false, "200 OK application/vnd.docker.multiplexed-stream  "},
	} {
		socket, far := attachTo(t, row.tty)
		lines := []string{"POST " + row.path + " HTTP/1.1"}
		if row.upgrade != "" {
			lines = append(lines, "Connection: Upgrade", "Upgrade: "+row.upgrade)
		}
		resp, r := call(t, dial(t, socket), lines...)
		if got := fmt.Sprintf("%s %s %s %s", resp.Status, resp.Header.Get("Content-Type"), resp.Header.Get("Connection"), resp.Header.Get("Upgrade")); got != row.want {
			t.Errorf("%s: %s, want %s", row.path, got, row.want)
		}
		write(t, far, "bytes as they are")
		far.Close()
		got, err := io.ReadAll(r)
		if err != nil || string(got) != "bytes as they are" {
			t.Errorf("%q %v", got, err)
		}
	}
}

func write(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Error(err)
	}
}

func TestInputEndsAndOutputGoesOn(t *testing.T) {
	socket, far := attachTo(t, false)
	conn := dial(t, socket)
	_, r := call(t, conn, "POST /containers/c/attach?stream=1&stdin=1&stdout=1 HTTP/1.1", "Connection: Upgrade", "Upgrade: tcp")
	write(t, conn, "input")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(far) // ends by the half-close
	if err != nil || string(got) != "input" {
		t.Fatalf("%q %v", got, err)
	}
	write(t, far, "output")
	far.Close()
	if got, err = io.ReadAll(r); err != nil || string(got) != "output" {
		t.Fatalf("%q %v", got, err)
	}
}

// The stock client closes its side also when it sends no input.
func TestNoInputIsNoEnd(t *testing.T) {
	for _, tty := range []bool{false, true} {
		socket, far := attachTo(t, tty)
		conn := dial(t, socket)
		stdin := map[bool]string{false: "", true: "&stdin=1"}[tty]
		_, r := call(t, conn, "POST /containers/c/attach?stream=1&stdout=1"+stdin+" HTTP/1.1", "Connection: Upgrade", "Upgrade: tcp")
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		write(t, far, "first ")
		p := make([]byte, 6)
		if _, err := io.ReadFull(r, p); err != nil {
			t.Fatal(err)
		}
		write(t, far, "last")
		far.Close()
		if got, err := io.ReadAll(r); err != nil || string(got) != "last" {
			t.Fatalf("%q %v", got, err)
		}
	}
}

func TestVanishedClientEndsTheStream(t *testing.T) {
	for _, query := range []string{"stream=1&stdout=1", "stream=1&stdin=1&stdout=1"} {
		socket, far := attachTo(t, false)
		conn := dial(t, socket)
		call(t, conn, "POST /containers/c/attach?"+query+" HTTP/1.1", "Connection: Upgrade", "Upgrade: tcp")
		conn.Close()
		if _, err := io.ReadAll(far); err != nil { // nothing is written, yet it ends
			t.Fatal(query, err)
		}
	}
}

func TestDetachKeys(t *testing.T) {
	socket, far := attachTo(t, true)
	conn := dial(t, socket)
	_, r := call(t, conn, "POST /containers/c/attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-a,x HTTP/1.1", "Connection: Upgrade", "Upgrade: tcp")
	write(t, conn, "one\x01two\x01x not this")
	got, err := io.ReadAll(far)
	if err != nil || string(got) != "one\x01two" {
		t.Errorf("%q %v", got, err)
	}
	if _, err := io.ReadAll(r); err != nil {
		t.Error(err)
	}
}

// Unread input must not become a reset that eats the end of the output.
func TestEndWithUnreadInput(t *testing.T) {
	socket, far := attachTo(t, false)
	conn := dial(t, socket)
	_, r := call(t, conn, "POST /containers/c/attach?stream=1&stdin=1&stdout=1 HTTP/1.1", "Connection: Upgrade", "Upgrade: tcp")
	write(t, conn, strings.Repeat("y\n", 1000))
	write(t, far, "end")
	far.Close()
	got := make([]byte, 3)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "end" {
		t.Fatalf("%q %v", got, err)
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestReplayComesFirst(t *testing.T) {
	near, far := process(t)
	_, socket := serve(t, &fakeEngine{attach: func(engine.AttachOptions) (*engine.Attached, error) {
		return &engine.Attached{Stream: near, Replay: func(_ context.Context, yield func(logs.Message) error) error {
			return yield(logs.Message{Stream: logs.Stderr, Line: []byte("old\n")})
		}}, nil
	}}, nil)
	_, r := call(t, dial(t, socket), "POST /containers/c/attach?stream=1&logs=1&stdout=1 HTTP/1.1", "Connection: Upgrade", "Upgrade: tcp")
	write(t, far, "new")
	far.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "\x02\x00\x00\x00\x00\x00\x00\x04old\nnew" {
		t.Errorf("%q %v", got, err)
	}
}

func TestExecStart(t *testing.T) {
	for _, row := range []struct {
		name, body string
		failure    error
		status     int
		want       string
	}{
		{"attached", `{}`, nil, 101, "output"},
		{"detached", `{"Detach":true}`, nil, 200, ""},
		{"cannot be executed", `{}`, errdefs.ErrInvalidArgument.WithMessage("no such file"), 101, "\x01\x00\x00\x00\x00\x00\x00\x0eno such file\r\n"},
		{"cannot be executed, detached", `{"Detach":true}`, errdefs.ErrInvalidArgument.WithMessage("no such file"), 400, `{"message":"no such file"}` + "\n"},
		{"paused", `{}`, errdefs.ErrConflict.WithMessage("is paused"), 409, `{"message":"is paused"}` + "\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			near, far := process(t)
			_, socket := serve(t, &fakeEngine{exec: container.ExecInspectResponse{ID: "x"}, start: func(o engine.ExecStartOptions) (*engine.Attached, error) {
				if row.failure != nil || o.Detach {
					return nil, row.failure
				}
				write(t, far, "output")
				far.Close()
				return &engine.Attached{Stream: near}, nil
			}}, nil)
			resp, r := call(t, dial(t, socket), "POST /exec/x/start HTTP/1.1", "Connection: Upgrade", "Upgrade: tcp",
				"Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(row.body)), "", row.body)
			if resp.StatusCode != row.status {
				t.Errorf("status %s", resp.Status)
			}
			from := io.Reader(r)
			if row.status != 101 {
				from = resp.Body
			}
			if got, err := io.ReadAll(from); err != nil || string(got) != row.want {
				t.Errorf("%q %v", got, err)
			}
		})
	}
}

func TestShutdownEndsStreams(t *testing.T) {
	near, far := process(t)
	s, socket := serve(t, &fakeEngine{attach: func(engine.AttachOptions) (*engine.Attached, error) {
		return &engine.Attached{Stream: near}, nil
	}}, nil)
	_, r := call(t, dial(t, socket), "POST /containers/c/attach?stream=1&stdout=1 HTTP/1.1", "Connection: Upgrade", "Upgrade: tcp")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(far); err != nil {
		t.Error(err)
	}
}

// A client may read the head with a buffer and go on without it.
func TestHeadComesAlone(t *testing.T) {
	for range 20 {
		socket, far := attachTo(t, true)
		write(t, far, "output that is there already")
		far.Close()
		conn := dial(t, socket)
		write(t, conn, "POST /containers/c/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
		head := make([]byte, 8192)
		n, err := conn.Read(head)
		if err != nil || !strings.HasSuffix(string(head[:n]), "\r\n\r\n") {
			t.Fatalf("%q %v", head[:n], err)
		}
		if got, err := io.ReadAll(conn); err != nil || string(got) != "output that is there already" {
			t.Fatalf("%q %v", got, err)
		}
	}
}
