package terminal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/moby/moby/api/pkg/stdcopy"
	"golang.org/x/term"
)

func TestParseKeys(t *testing.T) {
	for in, want := range map[string]string{"": "\x10\x11", "ctrl-p,ctrl-q": "\x10\x11", "ctrl-@,a,ctrl-_": "\x00a\x1f", "ctrl-P": "\x10"} {
		if got, err := ParseKeys(in); err != nil || string(got) != want {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
	for _, in := range []string{"ctrl-", "ab", "ctrl-1", "a,,b", "ctrl-pp"} {
		if got, err := ParseKeys(in); err == nil || !strings.Contains(err.Error(), in) {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add("ctrl-p,ctrl-q")
	f.Add("ctrl-[")
	f.Fuzz(func(t *testing.T, s string) {
		if keys, err := ParseKeys(s); err == nil && len(keys) == 0 {
			t.Error("no keys")
		}
	})
}

func TestWatchSeesKeysInPieces(t *testing.T) {
	for in, want := range map[string]bool{"ab\x10\x11": true, "\x10x\x11": false, "\x10\x10\x11z": true, "": false} {
		w := &watch{src: io.MultiReader(strings.NewReader(in[:len(in)/2]), strings.NewReader(in[len(in)/2:])), keys: []byte("\x10\x11")}
		out, err := io.ReadAll(w)
		if err != nil || string(out) != in || w.hit.Load() != want {
			t.Errorf("%q: %q %v %v", in, out, w.hit.Load(), err)
		}
	}
}

// pair is a stream and the other end of it, both with half-close.
func pair(t *testing.T) (user, engine *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: t.TempDir() + "/s", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	engine, err = l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	user = c.(*net.UnixConn)
	t.Cleanup(func() { user.Close(); engine.Close() })
	return user, engine
}

func frame(kind byte, s string) []byte {
	return append([]byte{kind, 0, 0, 0, 0, 0, 0, byte(len(s))}, s...)
}

func TestJoinDemultiplexes(t *testing.T) {
	user, engine := pair(t)
	var out, errOut bytes.Buffer
	go func() {
		in, _ := io.ReadAll(engine) // until the half-close
		engine.Write(frame(byte(stdcopy.Stdout), "got "+string(in)))
		engine.Write(frame(byte(stdcopy.Stderr), "err"))
		engine.Close()
	}()
	s := Session{In: strings.NewReader("input"), Out: &out, Err: &errOut}
	detached, err := s.Join(context.Background(), user)
	if err != nil || detached || out.String() != "got input" || errOut.String() != "err" {
		t.Errorf("%v %v %q %q", detached, err, out.String(), errOut.String())
	}
}

func TestJoinEndsWithItsContext(t *testing.T) {
	user, _ := pair(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	cancel(cause)
	if _, err := (Session{Out: io.Discard}).Join(ctx, user); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
}

func TestJoinInputOnly(t *testing.T) {
	user, engine := pair(t)
	read := make(chan string, 1)
	go func() {
		in, _ := io.ReadAll(engine)
		read <- string(in)
	}()
	if _, err := (Session{In: strings.NewReader("input")}).Join(context.Background(), user); err != nil {
		t.Error(err)
	}
	if got := <-read; got != "input" {
		t.Errorf("%q", got)
	}
}

// The terminal is raw while joined, and as before afterwards.
func TestJoinOnATerminal(t *testing.T) {
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer tty.Close()
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	user, engine := pair(t)
	go func() {
		io.WriteString(engine, "ready")
		buf := make([]byte, 3)
		io.ReadFull(engine, buf) // ctrl-c is a byte here, not a signal
		if string(buf) != "\x03\x10\x11" {
			t.Errorf("keys: %q", buf)
		}
		engine.Close()
	}()
	var out ready
	out.first = make(chan struct{})
	go func() {
		<-out.first
		io.WriteString(master, "\x03\x10\x11")
	}()
	s := Session{In: tty, Out: &out, TTY: true, Keys: []byte("\x10\x11")}
	detached, err := s.Join(context.Background(), user)
	if err != nil || !detached || out.String() != "ready" {
		t.Errorf("%v %v %q", detached, err, out.String())
	}
	after, err := term.GetState(int(tty.Fd()))
	if err != nil || *after != *before {
		t.Errorf("the terminal is not as before: %v", err)
	}
}

// ready tells of its first byte.
type ready struct {
	buf   bytes.Buffer
	first chan struct{}
}

func (r *ready) String() string { return r.buf.String() }

func (r *ready) Write(p []byte) (int, error) {
	if r.buf.Len() == 0 {
		defer close(r.first)
	}
	return r.buf.Write(p)
}

func TestWatchSize(t *testing.T) {
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer tty.Close()
	if err := pty.Setsize(master, &pty.Winsize{Rows: 33, Cols: 77}); err != nil {
		t.Fatal(err)
	}
	sizes := make(chan [2]uint, 1)
	stop := WatchSize(tty, func(w, h uint) { sizes <- [2]uint{w, h} })
	defer stop()
	select {
	case s := <-sizes:
		if s != [2]uint{77, 33} {
			t.Errorf("size %v", s)
		}
	case <-time.After(time.Minute):
		t.Fatal("no size")
	}
	if Of(tty) == nil || Of(bytes.NewReader(nil)) != nil {
		t.Error("Of does not know a terminal")
	}
}
