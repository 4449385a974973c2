package listen

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/berth-containers/berth/internal/sys/netns"
	"github.com/berth-containers/berth/internal/sys/packet"
)

func newSpace(t testing.TB) *os.File {
	t.Helper()
	ns, err := netns.New(func(*os.File) error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

func inside(t testing.TB, ns *os.File, f func() error) {
	t.Helper()
	if err := netns.Do(ns, f); err != nil {
		t.Fatal(err)
	}
}

func openIn(t testing.TB, ns *os.File) (s Sockets) {
	t.Helper()
	inside(t, ns, func() (err error) {
		s, err = Open()
		return err
	})
	t.Cleanup(s.Close)
	return s
}

// echo answers one datagram and one connection with what came.
func echo(t *testing.T, s Sockets) {
	p, err := packet.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Add(s.UDP, 1); err != nil {
		t.Fatal(err)
	}
	if err := p.Add(s.TCP, 2); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := packet.NewBatch(4, 64)
		for p.Wait(func(token uint64) {
			if token == 2 {
				if c, err := s.TCP.Accept(); err == nil {
					io.Copy(c, io.LimitReader(c, 5))
					c.Close()
				}
				return
			}
			n, _ := b.Receive(s.UDP)
			for i := range n {
				got, _ := b.Packet(i)
				b.Answer(i, append(b.Out(), got...))
			}
			b.Send(s.UDP)
		}) == nil {
		}
	}()
	t.Cleanup(func() { p.Close(); <-done })
}

func ask(network string) error {
	c, err := net.DialTimeout(network, "127.0.0.11:53", 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 5))
	return err
}

func TestPort53Answers(t *testing.T) {
	ns := newSpace(t)
	openIn(t, ns).Close() // as when an engine lost them
	echo(t, openIn(t, ns))
	inside(t, ns, func() error {
		for _, network := range []string{"udp4", "tcp4"} {
			if err := ask(network); err != nil {
				t.Errorf("%s: %v", network, err)
			}
		}
		return nil
	})
}

func TestContainerMayBindPort53(t *testing.T) {
	ns := newSpace(t)
	echo(t, openIn(t, ns))
	inside(t, ns, func() error {
		for _, at := range []string{"0.0.0.0:53", "127.0.0.1:53", "127.0.0.11:53"} {
			u, err := net.ListenPacket("udp4", at)
			if err != nil {
				t.Error(err)
				continue
			}
			l, err := net.Listen("tcp4", at)
			if err != nil {
				t.Error(err)
			} else {
				if err := ask("udp4"); err != nil {
					t.Errorf("udp beside a server at %s: %v", at, err)
				}
				if err := ask("tcp4"); err != nil {
					t.Errorf("tcp beside a server at %s: %v", at, err)
				}
				l.Close()
			}
			u.Close()
		}
		return nil
	})
}

func TestSocketTellsItsNamespace(t *testing.T) {
	ns := newSpace(t)
	s := openIn(t, ns)
	f, err := s.UDP.NetNS()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := ns.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(a, b) {
		t.Error("another namespace")
	}
}

func BenchmarkOpen(b *testing.B) {
	for range b.N {
		b.StopTimer()
		ns := newSpace(b)
		b.StartTimer()
		var s Sockets
		inside(b, ns, func() (err error) {
			s, err = Open()
			return err
		})
		b.StopTimer()
		s.Close()
		ns.Close()
	}
}
