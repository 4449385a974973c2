package dns

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/berth-containers/berth/internal/network"
)

// silent never answers.
func silent(dnsmessage.Message, string) []dnsmessage.Message { return nil }

func TestOtherServers(t *testing.T) {
	good := says("192.0.2.1", 0)
	failing := func(c dnsmessage.RCode) func(dnsmessage.Message, string) []dnsmessage.Message {
		return func(q dnsmessage.Message, _ string) []dnsmessage.Message { return []dnsmessage.Message{code(q, c)} }
	}
	text1000 := strings.Repeat("x", 200)
	huge := func(q dnsmessage.Message, _ string) []dnsmessage.Message {
		m := withA(q, "192.0.2.1", 0)
		for range 10 {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.TXTResource{TXT: []string{text1000}},
			})
		}
		return []dnsmessage.Message{m}
	}
	for _, row := range []struct {
		name    string
		servers []func(dnsmessage.Message, string) []dnsmessage.Message
		network string
		want    string
	}{
		{"one", []func(dnsmessage.Message, string) []dnsmessage.Message{good}, "udp4", "Success 192.0.2.1"},
		{"one by TCP", []func(dnsmessage.Message, string) []dnsmessage.Message{good}, "tcp4", "Success 192.0.2.1"},
		{"dead, then good", []func(dnsmessage.Message, string) []dnsmessage.Message{silent, good}, "udp4", "Success 192.0.2.1"},
		{"dead, then good by TCP", []func(dnsmessage.Message, string) []dnsmessage.Message{silent, good}, "tcp4", "Success 192.0.2.1"},
		{"nobody there, then good", []func(dnsmessage.Message, string) []dnsmessage.Message{nil, good}, "udp4", "Success 192.0.2.1"},
		{"failing, then good", []func(dnsmessage.Message, string) []dnsmessage.Message{failing(dnsmessage.RCodeServerFailure), good}, "udp4", "Success 192.0.2.1"},
		{"refusing, then good", []func(dnsmessage.Message, string) []dnsmessage.Message{failing(dnsmessage.RCodeRefused), good}, "udp4", "Success 192.0.2.1"},
		{"no such name is an answer", []func(dnsmessage.Message, string) []dnsmessage.Message{failing(dnsmessage.RCodeNameError), good}, "udp4", "NameError"},
		{"all fail", []func(dnsmessage.Message, string) []dnsmessage.Message{failing(dnsmessage.RCodeServerFailure)}, "udp4", "ServerFailure"},
		{"all dead", []func(dnsmessage.Message, string) []dnsmessage.Message{silent, silent}, "udp4", "ServerFailure"},
		{"no more than three", []func(dnsmessage.Message, string) []dnsmessage.Message{nil, nil, nil, good}, "udp4", "ServerFailure"},
		{"truncated", []func(dnsmessage.Message, string) []dnsmessage.Message{func(q dnsmessage.Message, _ string) []dnsmessage.Message {
			m := code(q, 0)
			m.Truncated = true
			return []dnsmessage.Message{m}
		}}, "udp4", "Success truncated"},
		{"longer than asked for", []func(dnsmessage.Message, string) []dnsmessage.Message{huge}, "udp4", "Success truncated"},
		{"long by TCP", []func(dnsmessage.Message, string) []dnsmessage.Message{huge}, "tcp4", "Success 192.0.2.1" + strings.Repeat(" "+text1000, 10)},
		{"guesses before the answer", []func(dnsmessage.Message, string) []dnsmessage.Message{func(q dnsmessage.Message, network string) []dnsmessage.Message {
			other := withA(q, "203.0.113.1", 0)
			other.ID++
			another := withA(q, "203.0.113.2", 0)
			another.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("example.org."), Type: typeA, Class: dnsmessage.ClassINET}}
			return append([]dnsmessage.Message{other, another, {}}, good(q, network)...)
		}}, "udp4", "Success 192.0.2.1"},
		{"its own spelling", []func(dnsmessage.Message, string) []dnsmessage.Message{func(q dnsmessage.Message, network string) []dnsmessage.Message {
			m := withA(q, "192.0.2.1", 0)
			m.Questions[0].Name = dnsmessage.MustNewName("eXample.COM.")
			return []dnsmessage.Message{m}
		}}, "udp4", "Success 192.0.2.1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var addrs []string
			for i, reply := range row.servers {
				addrs = append(addrs, fmt.Sprintf("127.0.0.%d", 60+i))
				if reply != nil {
					newUpstream(t, nil, addrs[i], reply)
				}
			}
			l := newLab(t, addrs...)
			app := l.container("app", network.Client{}, []string{"10.0.0.2"}, "app")
			m := app.ask(row.network, "Example.com.", typeA)
			if got := text(m); got != row.want {
				t.Errorf("%s, want %s", got, row.want)
			}
			if m.ID != 7 || m.Questions[0].Name.String() != "Example.com." {
				t.Errorf("%+v", m)
			}
		})
	}
}

// A server that did not answer is asked last from then on.
func TestDeadServerCostsOneWait(t *testing.T) {
	dead := newUpstream(t, nil, "127.0.0.70", silent)
	newUpstream(t, nil, "127.0.0.71", says("192.0.2.1", 0))
	l := newLab(t, "127.0.0.70", "127.0.0.71")
	app := l.container("app", network.Client{}, []string{"10.0.0.2"}, "app")
	for range 5 {
		if got := text(app.ask("udp4", "example.com.", typeA)); got != "Success 192.0.2.1" {
			t.Fatal(got)
		}
	}
	if n := dead.count(); n != 1 {
		t.Errorf("the dead server was asked %d times", n)
	}
}

func TestAnswersAreRemembered(t *testing.T) {
	u := newUpstream(t, nil, "127.0.0.53", says("192.0.2.1", 60))
	l := newLab(t, "127.0.0.53")
	app := l.container("app", network.Client{}, []string{"10.0.0.2"}, "app")
	for _, name := range []string{"example.com.", "EXAMPLE.com.", "example.com."} {
		m := app.ask("udp4", name, typeA)
		if got := text(m); got != "Success 192.0.2.1" || m.Questions[0].Name.String() != name {
			t.Error(got, m.Questions)
		}
	}
	app.ask("tcp4", "example.com.", typeA)
	if u.count() != 1 {
		t.Errorf("asked %d times", u.count())
	}
	// What another container's own server says is its own.
	other := l.container("other", network.Client{Servers: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, []string{"10.0.0.3"}, "other")
	newUpstream(t, other.ns, "127.0.0.1", says("192.0.2.9", 60))
	if got := text(other.ask("udp4", "example.com.", typeA)); got != "Success 192.0.2.9" {
		t.Error(got)
	}
}

// One client with very many open questions gets refusals, and another one its answers.
func TestOneClientCannotTakeAll(t *testing.T) {
	release := make(chan struct{})
	newUpstream(t, nil, "127.0.0.53", silent)
	l := newLab(t, "127.0.0.53")
	greedy := l.container("greedy", network.Client{}, []string{"10.0.0.2"}, "greedy")
	modest := l.container("modest", network.Client{Servers: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, []string{"10.0.0.3"}, "modest")
	newUpstream(t, modest.ns, "127.0.0.1", says("192.0.2.1", 0))
	c := greedy.dial("udp4", "127.0.0.11:53")
	var once sync.Once
	go func() {
		for {
			buffer := make([]byte, 512)
			n, err := c.Read(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) == nil && m.RCode == dnsmessage.RCodeRefused {
				once.Do(func() { close(release) })
			}
		}
	}()
	// The kernel drops what the worker is too slow for, so it goes on until it shows.
	deadline := time.Now().Add(patience)
	for i, refused := 0, false; !refused; i++ {
		if _, err := c.Write(question(t, uint16(i), fmt.Sprintf("n%d.example.com.", i), typeA, 0)); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
		select {
		case <-release:
			refused = true
		default:
			if time.Now().After(deadline) {
				t.Fatal("nothing is refused")
			}
		}
	}
	if got := text(modest.ask("udp4", "example.com.", typeA)); got != "Success 192.0.2.1" {
		t.Error(got)
	}
	l.Forget("greedy") // ends what is under way
}
