package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/internal/sys/netns"
	"github.com/berth-containers/berth/internal/sys/rtnl"
)

func TestTCP(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	var inside net.Listener
	ns, err := netns.New(func(*os.File) error {
		conn, err := rtnl.Dial()
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.Do(rtnl.Up(1)); err != nil {
			return err
		}
		inside, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	to := netip.MustParseAddrPort(inside.Addr().String())
	conn, err := TCP(t.Context(), ns, to)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := inside.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("x")); err != nil || conn.RemoteAddr().String() != to.String() {
		t.Error(conn.RemoteAddr(), err)
	}
	if n, err := peer.Read(make([]byte, 1)); n != 1 {
		t.Error(err)
	}
	if err := errors.Join(conn.Close(), peer.Close(), inside.Close()); err != nil {
		t.Error(err)
	}
	if _, err := TCP(t.Context(), ns, to); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := TCP(gone, ns, to); err == nil {
		t.Error("dialled for nobody")
	}
}
