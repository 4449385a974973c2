package packet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func open(t *testing.T, listen func(netip.AddrPort) (*Socket, error)) (*Socket, string) {
	t.Helper()
	s, err := listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	at, err := s.Local()
	if err != nil {
		t.Fatal(err)
	}
	return s, at.String()
}

func TestBatch(t *testing.T) {
	s, at := open(t, ListenUDP)
	b := NewBatch(2, 8)
	if n, err := b.Receive(s); n != 0 || err != nil {
		t.Errorf("of nothing: %d, %v", n, err)
	}
	c, err := net.Dial("udp4", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	for _, text := range []string{"one", strings.Repeat("two", 9), "three"} {
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for range 2 {
		n, err := b.Receive(s)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			p, whole := b.Packet(i)
			got = append(got, fmt.Sprintf("%s %v", p, whole))
			if b.From(i).String() != c.LocalAddr().String() {
				t.Errorf("from %v", b.From(i))
			}
			if whole {
				b.Answer(i, append(b.Out(), "re: "+string(p)...))
			} else {
				b.Answer(i, b.Out())
			}
		}
		if err := b.Send(s); err != nil {
			t.Fatal(err)
		}
	}
	if want := "one true,twotwotw false,three true"; strings.Join(got, ",") != want {
		t.Error(got)
	}
	buffer := make([]byte, 64)
	for _, want := range []string{"re: one", "re: three"} {
		if n, err := c.Read(buffer); err != nil || string(buffer[:n]) != want {
			t.Errorf("%q, %v", buffer[:n], err)
		}
	}
}

func TestPollerTellsOfEach(t *testing.T) {
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	udp, udpAt := open(t, ListenUDP)
	tcp, tcpAt := open(t, ListenTCP)
	for token, s := range map[uint64]*Socket{7: udp, 1<<40 | 8: tcp} {
		if err := p.Add(s, token); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tcp.Accept(); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("of nobody: %v", err)
	}
	u, err := net.Dial("udp4", udpAt)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	u.Write([]byte("x"))
	c, err := net.Dial("tcp4", tcpAt)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	told := map[uint64]bool{}
	for len(told) < 2 {
		if err := p.Wait(func(token uint64) { told[token] = true }); err != nil {
			t.Fatal(err)
		}
	}
	if !told[7] || !told[1<<40|8] {
		t.Error(told)
	}
	if err := p.Remove(udp); err != nil {
		t.Error(err)
	}
	if err := errors.Join(p.Remove(udp), p.Remove(tcp)); err != nil {
		t.Error(err)
	}
	ended := make(chan error)
	go func() { ended <- p.Wait(func(uint64) {}) }()
	p.Close()
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	udp.Close()
	if err := udp.Send(nil, netip.MustParseAddrPort("127.0.0.1:9")); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if err := p.Remove(udp); err != nil {
		t.Error(err)
	}
}

func TestAdopt(t *testing.T) {
	s, at := open(t, ListenUDP)
	conn, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var f *os.File
	conn.Control(func(fd uintptr) {
		n, err := syscall.Dup(int(fd))
		if err != nil {
			t.Fatal(err)
		}
		f = os.NewFile(uintptr(n), "copy")
	})
	s.Close()
	next, err := Adopt(f)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if got, err := next.Local(); err != nil || got.String() != at {
		t.Error(got, err)
	}
	if f.Close() == nil {
		t.Error("the file is open")
	}
}

// Answers to one peer of one size come as they would one by one.
func TestBatchOfOnePeer(t *testing.T) {
	for _, single := range []bool{false, true} {
		s, at := open(t, ListenUDP)
		c, err := net.Dial("udp4", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(30 * time.Second))
		var want []string
		for i := range 20 {
			text := fmt.Sprintf("%02d", i)
			if i%7 == 3 {
				text += " is longer"
			}
			want = append(want, text)
			if _, err := c.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		b := NewBatch(32, 64)
		b.single = single
		n, err := b.Receive(s)
		if n != len(want) || err != nil {
			t.Fatal(n, err)
		}
		for i := range n {
			p, _ := b.Packet(i)
			b.Answer(i, append(b.Out(), p...))
		}
		if messages, _ := b.pack(b.answers); single != (len(messages) == n) {
			t.Errorf("%d messages of %d answers", len(messages), n)
		}
		if err := b.Send(s); err != nil || b.single != single {
			t.Error(err, b.single)
		}
		buffer := make([]byte, 64)
		for _, w := range want {
			if n, err := c.Read(buffer); err != nil || string(buffer[:n]) != w {
				t.Errorf("%q, %v, want %q", buffer[:n], err, w)
			}
		}
	}
}
