package unixsock

import (
	"net"
	"path/filepath"
	"testing"
)

func TestUnread(t *testing.T) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if n, err := Unread(a); err != nil || n != 0 {
		t.Error("nothing was written:", n, err)
	}
	if _, err := a.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := Unread(a); err != nil || n == 0 {
		t.Error("nothing was read:", n, err)
	}
	if _, err := b.Read(make([]byte, 9)); err != nil {
		t.Fatal(err)
	}
	if n, err := Unread(a); err != nil || n != 0 {
		t.Error("all was read:", n, err)
	}
}
