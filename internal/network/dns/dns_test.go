package dns

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/berth-containers/berth/internal/network"
	"github.com/berth-containers/berth/internal/network/directory"
)

const (
	typeA    = dnsmessage.TypeA
	typeAAAA = dnsmessage.TypeAAAA
	typePTR  = dnsmessage.TypePTR
	typeMX   = dnsmessage.TypeMX
)

func TestNamesOfTheNetwork(t *testing.T) {
	l := newLab(t, "127.0.0.53")
	u := newUpstream(t, nil, "127.0.0.53", func(q dnsmessage.Message, _ string) []dnsmessage.Message {
		return []dnsmessage.Message{code(q, dnsmessage.RCodeNameError)}
	})
	app := l.container("app", network.Client{}, []string{"10.0.0.2", "fd00::2"}, "app", "aaaaaaaaaaaa")
	l.set("web", "front", []string{"10.0.0.3"}, "web", "www.example.com")
	l.set("db", "back", []string{"10.1.0.4"}, "db")
	for _, row := range []struct {
		name string
		typ  dnsmessage.Type
		want string
	}{
		{"web.", typeA, "Success 10.0.0.3"},
		{"WEB.", typeA, "Success 10.0.0.3"},
		{"web.front.", typeA, "Success 10.0.0.3"},
		{"www.example.com.", typeA, "Success 10.0.0.3"},
		{"app.", typeA, "Success 10.0.0.2"},
		{"app.", typeAAAA, "Success fd00::2"},
		{"aaaaaaaaaaaa.", typeA, "Success 10.0.0.2"},
		{"3.0.0.10.in-addr.arpa.", typePTR, "Success web.front."},
		{"2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", typePTR, "Success app.front."},
		// It exists and has none: nobody else is asked.
		{"web.", typeAAAA, "Success"},
		{"web.", typeMX, "Success"},
		{"web.", 65, "Success"},
	} {
		for _, network := range []string{"udp4", "tcp4"} {
			if got := text(app.ask(network, row.name, row.typ)); got != row.want {
				t.Errorf("%s %s over %s: %s, want %s", row.name, row.typ, network, got, row.want)
			}
		}
	}
	if n := u.count(); n != 0 {
		t.Errorf("another server was asked %d times", n)
	}
	for _, row := range []struct {
		name string
		typ  dnsmessage.Type
	}{{"db.", typeA}, {"web.back.", typeA}, {"4.0.1.10.in-addr.arpa.", typePTR}, {"in-addr.arpa.", typePTR}} {
		if got := text(app.ask("udp4", row.name, row.typ)); got != "NameError" {
			t.Errorf("%s: %s", row.name, got)
		}
	}
	if n := u.count(); n != 4 {
		t.Errorf("another server was asked %d times, want 4", n)
	}
}

func TestRoundRobin(t *testing.T) {
	l := newLab(t)
	app := l.container("app", network.Client{}, []string{"10.0.0.2"}, "app")
	for i := range 3 {
		l.set(fmt.Sprint("w", i), "front", []string{fmt.Sprint("10.0.0.", 10+i)}, "web")
	}
	first := map[string]int{}
	c := app.dial("udp4", "127.0.0.11:53")
	for range 300 {
		got := strings.Fields(text(exchangeOn(t, c, question(t, 9, "web.", typeA, 0))))
		if len(got) != 4 {
			t.Fatal(got)
		}
		first[got[1]]++
	}
	for a, n := range first {
		if n < 50 {
			t.Errorf("%s was first %d times of 300", a, n)
		}
	}
	l.names.Set("w1", nil)
	if got := strings.Fields(text(app.ask("udp4", "web.", typeA))); len(got) != 3 || slices.Contains(got, "10.0.0.11") {
		t.Errorf("after one ended: %v", got)
	}
}

// glibc sends both questions from one socket and takes the answers in any order.
func TestQuestionsInParallel(t *testing.T) {
	l := newLab(t, "127.0.0.53")
	newUpstream(t, nil, "127.0.0.53", says("192.0.2.1", 0))
	app := l.container("app", network.Client{}, []string{"10.0.0.2"}, "app")
	c := app.dial("udp4", "127.0.0.11:53")
	for id, name := range []string{"app.", "example.com.", "app.", "example.org."} {
		if _, err := c.Write(question(t, uint16(id), name, []dnsmessage.Type{typeA, typeAAAA}[id/2], 1232)); err != nil {
			t.Fatal(err)
		}
	}
	got := map[uint16]string{}
	for range 4 {
		m := readFrom(t, c)
		got[m.ID] = m.Questions[0].Name.String() + m.RCode.String()
	}
	if got[0] != "app.RCodeSuccess" || got[1] != "example.com.RCodeSuccess" || got[2] != "app.RCodeSuccess" || got[3] != "example.org.RCodeSuccess" {
		t.Error(got)
	}
}

func TestManyAddressesGoByTCP(t *testing.T) {
	l := newLab(t)
	app := l.container("app", network.Client{}, []string{"10.0.0.2"}, "app")
	for i := range 200 {
		l.set(fmt.Sprint("w", i), "front", []string{fmt.Sprint("10.0.1.", i)}, "web")
	}
	if m := app.ask("udp4", "web.", typeA); !m.Truncated || len(m.Answers) == 0 || len(m.Answers) > 30 {
		t.Errorf("%v, %d answers", m.Header, len(m.Answers))
	}
	if m := app.ask("tcp4", "web.", typeA); m.Truncated || len(m.Answers) != 200 {
		t.Errorf("%v, %d answers", m.Header, len(m.Answers))
	}
	m := exchangeOn(t, app.dial("udp4", "127.0.0.11:53"), question(t, 1, "web.", typeA, 4096))
	if m.Truncated || len(m.Answers) != 200 || len(m.Additionals) != 1 {
		t.Errorf("EDNS: %v, %d answers", m.Header, len(m.Answers))
	}
}

func TestInternalAsksNobodyOutside(t *testing.T) {
	l := newLab(t, "127.0.0.53")
	u := newUpstream(t, nil, "127.0.0.53", says("192.0.2.1", 60))
	app := newBox(t)
	l.set("app", "inner", []string{"10.0.0.2"}, "app")
	l.serve(app, "app", network.Client{})
	if got := text(app.ask("udp4", "example.com.", typeA)); got != "ServerFailure" {
		t.Error(got)
	}
	// A server that the container was given is its own affair.
	newUpstream(t, app.ns, "127.0.0.1", says("192.0.2.2", 60))
	l.serve(app, "app", network.Client{Servers: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if got := text(app.ask("udp4", "example.com.", typeA)); got != "Success 192.0.2.2" {
		t.Error(got)
	}
	if u.count() != 0 {
		t.Error("the host's server was asked")
	}
}

func TestNoServers(t *testing.T) {
	l := newLab(t)
	app := l.container("app", network.Client{Servers: []netip.Addr{netip.MustParseAddr("127.0.0.11")}}, []string{"10.0.0.2"}, "app")
	for _, network := range []string{"udp4", "tcp4"} {
		if got := text(app.ask(network, "example.com.", typeA)); got != "ServerFailure" {
			t.Errorf("%s: %s", network, got)
		}
	}
}

func TestSingleNamesAreHeld(t *testing.T) {
	l := newLab(t, "127.0.0.53")
	u := newUpstream(t, nil, "127.0.0.53", says("192.0.2.1", 0))
	app := l.container("app", network.Client{HoldSingle: true}, []string{"10.0.0.2"}, "app")
	if got := text(app.ask("udp4", "nobody.", typeA)); got != "Success" || u.count() != 0 {
		t.Error(got, u.count())
	}
	if got := text(app.ask("udp4", "nobody.example.", typeA)); got != "Success 192.0.2.1" {
		t.Error(got)
	}
}

// What the host's file says counts from the next look at it on.
func TestHostMoves(t *testing.T) {
	l := newLab(t, "127.0.0.53")
	newUpstream(t, nil, "127.0.0.53", says("192.0.2.1", 0))
	newUpstream(t, nil, "127.0.0.54", says("192.0.2.2", 0))
	app := l.container("app", network.Client{}, []string{"10.0.0.2"}, "app")
	if got := text(app.ask("udp4", "example.com.", typeA)); got != "Success 192.0.2.1" {
		t.Error(got)
	}
	if err := os.WriteFile(l.conf, []byte("nameserver 127.0.0.54\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(l.conf, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	l.host.mu.Lock()
	l.host.looked = time.Time{}
	l.host.mu.Unlock()
	if got := text(app.ask("udp4", "example.com.", typeA)); got != "Success 192.0.2.2" {
		t.Error(got)
	}
}

// The engine is killed; what is asked meanwhile is answered by the next one.
func TestQuestionsWaitForTheNextEngine(t *testing.T) {
	l := newLab(t)
	app := l.container("app", network.Client{}, []string{"10.0.0.2"}, "app")
	udp := app.dial("udp4", "127.0.0.11:53")
	l.stop()
	if _, err := udp.Write(question(t, 3, "app.", typeA, 0)); err != nil {
		t.Fatal(err)
	}
	tcp := app.dial("tcp4", "127.0.0.11:53")
	raw := question(t, 4, "app.", typeA, 0)
	if _, err := tcp.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)); err != nil {
		t.Fatal(err)
	}
	l.begin()
	l.serve(app, "app", network.Client{})
	for _, c := range []net.Conn{udp, tcp} {
		if got := text(readFrom(t, c)); got != "Success 10.0.0.2" {
			t.Error(got)
		}
	}
	// Without the keeper there are new sockets, and the same client goes on.
	l.stop()
	for key := range l.shelf.files {
		l.shelf.Drop(key)
	}
	l.begin()
	l.serve(app, "app", network.Client{})
	if got := text(exchangeOn(t, udp, question(t, 5, "app.", typeA, 0))); got != "Success 10.0.0.2" {
		t.Error(got)
	}
}

func TestServeAgainAndForget(t *testing.T) {
	l := newLab(t)
	app := l.container("app", network.Client{}, []string{"10.0.0.2"}, "app")
	l.serve(app, "app", network.Client{}) // as it is
	l.Forget("app")
	l.Forget("app")
	if len(l.shelf.files) != 0 {
		t.Errorf("kept: %v", l.shelf.files)
	}
	next := newBox(t) // a new run in a new sandbox
	l.serve(app, "app", network.Client{})
	l.serve(next, "app", network.Client{})
	if got := text(next.ask("udp4", "app.", typeA)); got != "Success 10.0.0.2" {
		t.Error(got)
	}
}

func TestNothingGrows(t *testing.T) {
	l := newLab(t, "127.0.0.53")
	newUpstream(t, nil, "127.0.0.53", says("192.0.2.1", 0))
	app := l.container("app", network.Client{}, []string{"10.0.0.2"}, "app")
	app.ask("udp4", "app.", typeA)
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	c := app.dial("udp4", "127.0.0.11:53")
	for i := range 10_000 {
		raw := question(t, uint16(i), "app.", typeA, 0)
		switch i % 50 {
		case 1:
			raw = question(t, uint16(i), fmt.Sprintf("n%d.example.com.", i), typeA, 1232)
		case 2:
			raw = raw[:len(raw)-3]
		}
		if m := exchangeOn(t, c, raw); m.ID != uint16(i) {
			t.Fatalf("question %d: %+v", i, m)
		}
		if i%500 == 0 {
			app.ask("tcp4", "app.", typeA)
			app.dial("tcp4", "127.0.0.11:53").Close()
		}
	}
	c.Close()
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > goroutines || descriptors(t) > files {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, were %d; %d descriptors, were %d", runtime.NumGoroutine(), goroutines, descriptors(t), files)
		}
		runtime.Gosched()
	}
}

func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// FuzzAnswer gives the server what a container may send.
func FuzzAnswer(f *testing.F) {
	f.Add(question(f, 1, "app.", typeA, 0), false)
	f.Add(question(f, 1, "app.front.", typeAAAA, 1232), true)
	f.Add(question(f, 1, "2.0.0.10.in-addr.arpa.", typePTR, 0), false)
	f.Add(question(f, 1, "example.com.", typeMX, 4096), true)
	names := directory.New()
	names.Set("app", []directory.Endpoint{{NetworkID: "f", NetworkName: "front", Names: []string{"app"}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}})
	s := New(names, &shelf{}, "/nonexistent", nil)
	c := &client{id: "app"}
	c.want.Store(&want{})
	f.Fuzz(func(t *testing.T, raw []byte, tcp bool) {
		out, ask := s.answer(nil, c, raw, tcp, &room{})
		if ask != nil {
			t.Error("there is nobody to ask")
		}
		if len(out) == 0 {
			return
		}
		var p dnsmessage.Parser
		h, err := p.Start(out)
		if err != nil || !h.Response || h.ID != binary.BigEndian.Uint16(raw) {
			t.Errorf("%x: %v %v", out, h, err)
		}
	})
}

func BenchmarkServer(b *testing.B) {
	l := newLab(b)
	app := l.container("app", network.Client{}, []string{"10.0.0.2"}, "app")
	for _, window := range []int{1, 16} {
		b.Run(fmt.Sprint(window, " at once"), func(b *testing.B) {
			c := app.dial("udp4", "127.0.0.11:53")
			raw := question(b, 1, "app.", typeA, 1232)
			buffer := make([]byte, 512)
			b.ResetTimer()
			for n := 0; n < b.N; n += window {
				for range window {
					if _, err := c.Write(raw); err != nil {
						b.Fatal(err)
					}
				}
				for range window {
					if _, err := c.Read(buffer); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
