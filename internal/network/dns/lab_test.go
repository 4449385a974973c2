package dns

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/berth-containers/berth/internal/network"
	"github.com/berth-containers/berth/internal/network/directory"
	"github.com/berth-containers/berth/internal/sys/netns"
	"github.com/berth-containers/berth/internal/sys/netns/netnstest"
)

const patience = 30 * time.Second

// The namespace of the tests plays the host: its name servers are at 127.0.0.x.
func TestMain(m *testing.M) { netnstest.Main(m, loUp) }

func loUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// shelf is a Keeper that outlives a server.
type shelf struct {
	mu    sync.Mutex
	files map[string]*os.File
}

func (s *shelf) Keep(key string, socket syscall.Conn) {
	conn, err := socket.SyscallConn()
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	conn.Control(func(fd uintptr) {
		if n, err := syscall.Dup(int(fd)); err == nil {
			s.files[key] = os.NewFile(uintptr(n), key)
		}
	})
}

func (s *shelf) Drop(key string) {
	if f := s.Take(key); f != nil {
		f.Close()
	}
}

func (s *shelf) Take(key string) *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[key]
	delete(s.files, key)
	return f
}

// lab is a server with its names.
type lab struct {
	*Server
	t     testing.TB
	names *directory.Directory
	conf  string
	shelf *shelf
}

func newLab(t testing.TB, hostServers ...string) *lab {
	l := &lab{t: t, names: directory.New(), conf: filepath.Join(t.TempDir(), "resolv.conf"), shelf: &shelf{files: map[string]*os.File{}}}
	var b strings.Builder
	for _, s := range hostServers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if err := os.WriteFile(l.conf, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	l.begin()
	t.Cleanup(func() {
		l.stop()
		for key := range l.shelf.files {
			l.shelf.Drop(key)
		}
	})
	return l
}

func (l *lab) begin() {
	l.Server = New(l.names, l.shelf, l.conf, slog.New(slog.NewTextHandler(l.t.Output(), nil)))
}

func (l *lab) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		l.t.Error(err)
	}
}

// box is a namespace that plays a container.
type box struct {
	t  testing.TB
	ns *os.File
}

func newBox(t testing.TB) box {
	ns, err := netns.New(func(*os.File) error { return loUp() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return box{t, ns}
}

// container is a served box that is in the network "front" by the given names.
func (l *lab) container(id string, c network.Client, addrs []string, names ...string) box {
	l.t.Helper()
	b := newBox(l.t)
	l.set(id, "front", addrs, names...)
	l.serve(b, id, c)
	return b
}

func (l *lab) set(id, net string, addrs []string, names ...string) {
	e := directory.Endpoint{NetworkID: net, NetworkName: net, Names: names, Internal: net == "inner"}
	for _, a := range addrs {
		e.Addrs = append(e.Addrs, netip.MustParseAddr(a))
	}
	l.names.Set(id, []directory.Endpoint{e})
}

func (l *lab) serve(b box, id string, c network.Client) {
	l.t.Helper()
	c.ContainerID = id
	if err := l.Serve(b.ns, c); err != nil {
		l.t.Fatal(err)
	}
}

// dial opens a client's socket inside.
func (b box) dial(network, to string) net.Conn {
	b.t.Helper()
	var c net.Conn
	err := netns.Do(b.ns, func() (err error) {
		c, err = net.DialTimeout(network, to, patience)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	b.t.Cleanup(func() { c.Close() })
	return c
}

func question(t testing.TB, id uint16, name string, typ dnsmessage.Type, edns int) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	b.StartQuestions()
	if err := b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: typ, Class: dnsmessage.ClassINET}); err != nil {
		t.Fatal(err)
	}
	if edns > 0 {
		b.StartAdditionals()
		var h dnsmessage.ResourceHeader
		h.SetEDNS0(edns, 0, false)
		b.OPTResource(h, dnsmessage.OPTResource{})
	}
	raw, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// ask asks the box's name server.
func (b box) ask(network, name string, typ dnsmessage.Type) dnsmessage.Message {
	b.t.Helper()
	c := b.dial(network, "127.0.0.11:53")
	defer c.Close()
	return exchangeOn(b.t, c, question(b.t, 7, name, typ, 0))
}

func exchangeOn(t testing.TB, c net.Conn, raw []byte) dnsmessage.Message {
	t.Helper()
	_, stream := c.(*net.TCPConn)
	if stream {
		raw = append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)
	}
	if _, err := c.Write(raw); err != nil {
		t.Fatal(err)
	}
	return readFrom(t, c)
}

func readFrom(t testing.TB, c net.Conn) dnsmessage.Message {
	t.Helper()
	var m dnsmessage.Message
	buffer := make([]byte, 65535)
	var err error
	n := 0
	if _, stream := c.(*net.TCPConn); stream {
		if _, err = io.ReadFull(c, buffer[:2]); err == nil {
			n, err = io.ReadFull(c, buffer[:binary.BigEndian.Uint16(buffer)])
		}
	} else {
		n, err = c.Read(buffer)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Unpack(buffer[:n]); err != nil {
		t.Fatal(err)
	}
	return m
}

// text is an answer as a row of a table.
func text(m dnsmessage.Message) string {
	parts := []string{strings.TrimPrefix(m.RCode.String(), "RCode")}
	if m.Truncated {
		parts = append(parts, "truncated")
	}
	for _, a := range m.Answers {
		switch r := a.Body.(type) {
		case *dnsmessage.AResource:
			parts = append(parts, netip.AddrFrom4(r.A).String())
		case *dnsmessage.AAAAResource:
			parts = append(parts, netip.AddrFrom16(r.AAAA).String())
		case *dnsmessage.PTRResource:
			parts = append(parts, r.PTR.String())
		case *dnsmessage.TXTResource:
			parts = append(parts, strings.Join(r.TXT, ""))
		default:
			parts = append(parts, a.Header.Type.String())
		}
	}
	return strings.Join(parts, " ")
}

// upstream is a name server; each question is given to reply, whose messages
// are sent as they are.
type upstream struct {
	mu    sync.Mutex
	asked int
	reply func(q dnsmessage.Message, network string) []dnsmessage.Message
}

func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked
}

// newUpstream listens at an address of the namespace ns, or of the test's own.
func newUpstream(t testing.TB, ns *os.File, at string, reply func(dnsmessage.Message, string) []dnsmessage.Message) *upstream {
	t.Helper()
	u := &upstream{reply: reply}
	var p net.PacketConn
	var l net.Listener
	open := func() (err error) {
		if p, err = net.ListenPacket("udp", at+":53"); err != nil {
			return err
		}
		l, err = net.Listen("tcp", at+":53")
		return err
	}
	var err error
	if ns == nil {
		err = open()
	} else {
		err = netns.Do(ns, open)
	}
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	t.Cleanup(func() { p.Close(); l.Close(); work.Wait() })
	work.Go(func() {
		buffer := make([]byte, 65535)
		for {
			n, from, err := p.ReadFrom(buffer)
			if err != nil {
				return
			}
			for _, raw := range u.answer(buffer[:n], "udp") {
				p.WriteTo(raw, from)
			}
		}
	})
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { u.serve(c) })
		}
	})
	return u
}

func (u *upstream) serve(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return
	}
	raw := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, raw); err != nil {
		return
	}
	for _, out := range u.answer(raw, "tcp") {
		c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...))
	}
}

func (u *upstream) answer(raw []byte, network string) (all [][]byte) {
	var q dnsmessage.Message
	if q.Unpack(raw) != nil {
		return nil
	}
	u.mu.Lock()
	u.asked++
	u.mu.Unlock()
	for _, m := range u.reply(q, network) {
		if b, err := m.Pack(); err == nil {
			all = append(all, b)
		}
	}
	return all
}

// says answers every question with one address.
func says(addr string, ttl uint32) func(dnsmessage.Message, string) []dnsmessage.Message {
	return func(q dnsmessage.Message, _ string) []dnsmessage.Message {
		return []dnsmessage.Message{withA(q, addr, ttl)}
	}
}

func withA(q dnsmessage.Message, addr string, ttl uint32) dnsmessage.Message {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RecursionAvailable: true, RecursionDesired: true}, Questions: q.Questions}
	m.Answers = []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: ttl},
		Body:   &dnsmessage.AResource{A: netip.MustParseAddr(addr).As4()},
	}}
	return m
}

func code(q dnsmessage.Message, c dnsmessage.RCode) dnsmessage.Message {
	return dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RCode: c}, Questions: q.Questions}
}
