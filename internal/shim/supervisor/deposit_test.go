package supervisor

import (
	"io"
	"log/slog"
	"net"
	"os"
	"testing"

	"github.com/berth-containers/berth/internal/shim"
)

// pair is a socket to deposit and what is written to its other end.
func pair(t *testing.T) (*net.TCPConn, io.WriteCloser) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return b.(*net.TCPConn), a
}

func (b *bench) openDeposit(t *testing.T) *shim.Deposit {
	t.Helper()
	d, err := b.OpenDeposit(b.ctx, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// What one engine deposits, the next has, and what is written meanwhile is in it.
func TestDepositOutlivesTheEngine(t *testing.T) {
	b := newBench(t)
	first := b.openDeposit(t)
	for _, key := range []string{"a/one", "a/two", "b/one"} {
		kept, other := pair(t)
		first.Keep(key, kept)
		if _, err := other.Write([]byte("waited")); err != nil {
			t.Fatal(err)
		}
		other.Close()
	}
	closed, _ := pair(t)
	closed.Close()
	first.Keep("a/closed", closed)
	first.Drop("a/two")
	first.Drop("nothing")
	first.Close()

	second := b.openDeposit(t)
	f := second.Take("a/one")
	if f == nil {
		t.Fatal("not kept")
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || string(got) != "waited" {
		t.Errorf("%q, %v", got, err)
	}
	for _, key := range []string{"a/one", "a/two", "a/closed", "nothing"} {
		if f := second.Take(key); f != nil {
			t.Errorf("%s is kept", key)
		}
	}
	second.DropRest()
	second.Close()
	third := b.openDeposit(t)
	defer third.Close()
	for key, want := range map[string]bool{"a/one": true, "b/one": false} {
		f := third.Take(key)
		if (f != nil) != want {
			t.Errorf("%s: kept is %v", key, f != nil)
		}
		if f != nil {
			f.Close()
		}
	}
}

func TestDepositOfAContainerEndsWithIt(t *testing.T) {
	b := newBench(t)
	d := b.openDeposit(t)
	for _, key := range []string{"c1/x", "c2/x"} {
		kept, _ := pair(t)
		d.Keep(key, kept)
	}
	d.Close()
	b.start(b.request("c1", "true"))
	b.exit("c1", "")
	if err := b.Release(b.ctx, "c1"); err != nil {
		t.Fatal(err)
	}
	d = b.openDeposit(t)
	defer d.Close()
	if d.Take("c1/x") != nil {
		t.Error("it outlived its container")
	}
	if f := d.Take("c2/x"); f == nil {
		t.Error("another's is gone")
	} else {
		f.Close()
	}
}

// The next shim is given all again.
func TestDepositOutlivesTheShim(t *testing.T) {
	v := newVictim(t)
	d, err := v.OpenDeposit(v.ctx, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	kept, _ := pair(t)
	d.Keep("a/one", kept)
	v.kill()
	v.next()
	var f *os.File
	for f == nil && v.ctx.Err() == nil {
		other, err := v.OpenDeposit(v.ctx, slog.New(slog.NewTextHandler(t.Output(), nil)))
		if err != nil {
			t.Fatal(err)
		}
		f = other.Take("a/one")
		other.Close()
	}
	if f == nil {
		t.Fatal("the next shim does not have it")
	}
	f.Close()
	d.Close()
}
