package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/coder/websocket"

	"github.com/berth-containers/berth/internal/engine"
	"github.com/berth-containers/berth/internal/logs"
)

// open opens a websocket to a container whose stdio ends in far.
func open(t *testing.T, version, query string, tty bool) (c *websocket.Conn, far *net.UnixConn, asked *engine.AttachOptions) {
	t.Helper()
	near, far := process(t)
	asked = &engine.AttachOptions{}
	_, socket := serve(t, &fakeEngine{attach: func(o engine.AttachOptions) (*engine.Attached, error) {
		*asked = o
		return &engine.Attached{Stream: near, TTY: tty, Replay: func(_ context.Context, yield func(logs.Message) error) error {
			return yield(logs.Message{Stream: logs.Stderr, Line: []byte("old\n")})
		}}, nil
	}}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	c, _, err := websocket.Dial(ctx, "ws://berth"+version+"/containers/c/attach/ws?"+query, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return c, far, asked
}

func message(t *testing.T, c *websocket.Conn) (websocket.MessageType, string) {
	t.Helper()
	kind, b, err := c.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return kind, string(b)
}

func TestAttachSocket(t *testing.T) {
	c, far, asked := open(t, "", "stream=1&logs=1&stdin=1&stdout=1", false)
	if want := (engine.AttachOptions{Stream: true, Logs: true, Stdin: true, Stdout: true}); *asked != want {
		t.Errorf("asked %+v", *asked)
	}
	if kind, text := message(t, c); kind != websocket.MessageBinary || text != "old\n" {
		t.Errorf("%v %q", kind, text)
	}
	write(t, far, "\x01\x00\x00\x00\x00\x00\x00\x05hello\x02\x00\x00\x00\x00\x00\x00\x00")
	if _, text := message(t, c); text != "hello" {
		t.Errorf("%q", text)
	}
	for _, kind := range []websocket.MessageType{websocket.MessageBinary, websocket.MessageText} {
		if err := c.Write(t.Context(), kind, []byte("in")); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 2)
		if _, err := io.ReadFull(far, p); err != nil || string(p) != "in" {
			t.Errorf("%q %v", p, err)
		}
	}
	far.Close()
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the end is %v", err)
	}
}

// Old clients are sent text, and all streams.
func TestAttachSocketBefore(t *testing.T) {
	c, far, asked := open(t, "/v1.27", "stream=1", true)
	if !asked.Stdin || !asked.Stdout || !asked.Stderr {
		t.Errorf("asked %+v", *asked)
	}
	write(t, far, "raw")
	message(t, c) // of the log
	if kind, text := message(t, c); kind != websocket.MessageText || text != "raw" {
		t.Errorf("%v %q", kind, text)
	}
}

func TestVanishedSocketEndsTheStream(t *testing.T) {
	c, far, _ := open(t, "", "stream=1&stdin=1&stdout=1", false)
	_ = c.CloseNow()
	if _, err := io.ReadAll(far); err != nil {
		t.Error(err)
	}
}

func TestSocketDetachKeys(t *testing.T) {
	c, far, _ := open(t, "", "stream=1&stdin=1&stdout=1&detachKeys=ctrl-a", true)
	if err := c.Write(t.Context(), websocket.MessageBinary, []byte("one\x01not this")); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(far); err != nil || string(got) != "one" {
		t.Errorf("%q %v", got, err)
	}
}

// What is no websocket, or comes from a page of another site, is refused in the
// API's own form.
func TestNoSocket(t *testing.T) {
	near, _ := process(t)
	_, socket := serve(t, &fakeEngine{attach: func(engine.AttachOptions) (*engine.Attached, error) {
		return &engine.Attached{Stream: near}, nil
	}}, nil)
	for _, lines := range [][]string{
		{"GET /containers/c/attach/ws HTTP/1.1"},
		{"GET /containers/c/attach/ws HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Origin: https://elsewhere.example"},
	} {
		resp, _ := call(t, dial(t, socket), lines...)
		if kind := resp.Header.Get("Content-Type"); resp.StatusCode != 400 || kind != "application/json" {
			t.Errorf("%s %s", resp.Status, kind)
		}
	}
}
