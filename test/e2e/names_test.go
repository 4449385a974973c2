package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/netns"
	"github.com/berth-containers/berth/test/harness"
)

// hostResolver, called when the engine has no containers yet, makes a name
// server at 127.0.0.53 the host's only one.
func hostResolver(t *testing.T) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 127.0.0.53\nsearch example\noptions edns0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(conf, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount("/etc/resolv.conf", unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	p, err := net.ListenPacket("udp4", "127.0.0.53:53")
	if err != nil {
		t.Fatal(err)
	}
	resolve(t, p, "192.0.2.1")
}

// resolve answers on p: every name below "example" has the address, no other is
// known.
func resolve(t *testing.T, p net.PacketConn, address string) {
	done := make(chan struct{})
	t.Cleanup(func() { p.Close(); <-done })
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for {
			n, from, err := p.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil {
				continue
			}
			q := m.Questions[0]
			m = dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
			switch {
			case !strings.HasSuffix(q.Name.String(), ".example."):
				m.RCode = dnsmessage.RCodeNameError
			case q.Type == dnsmessage.TypeA:
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60},
					Body: &dnsmessage.AResource{A: netip.MustParseAddr(address).As4()}}}
			}
			if raw, err := m.Pack(); err == nil {
				p.WriteTo(raw, from)
			}
		}
	}()
}

// within runs f in the network namespace of a container.
func within(t *testing.T, e *harness.Engine, container string, f func() error) {
	t.Helper()
	ns, err := os.Open("/proc/" + e.OK("inspect", "-f", "{{.State.Pid}}", container) + "/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if err := netns.Do(ns, f); err != nil {
		t.Fatal(err)
	}
}

// ask opens a socket for the container's name server, in its namespace.
func ask(t *testing.T, e *harness.Engine, container, network string) (c net.Conn) {
	t.Helper()
	within(t, e, container, func() (err error) {
		c, err = net.DialTimeout(network, "127.0.0.11:53", harness.Patience)
		return err
	})
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(harness.Patience))
	return c
}

func question(t *testing.T, name string) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 1, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func answer(t *testing.T, c net.Conn) (addrs []string, code dnsmessage.RCode) {
	t.Helper()
	buffer := make([]byte, 4096)
	n, err := c.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(buffer[:n]); err != nil {
		t.Fatal(err)
	}
	for _, a := range m.Answers {
		if a, ok := a.Body.(*dnsmessage.AResource); ok {
			addrs = append(addrs, netip.AddrFrom4(a.A).String())
		}
	}
	return addrs, m.RCode
}

func lookup(t *testing.T, c net.Conn, name string) ([]string, dnsmessage.RCode) {
	t.Helper()
	if _, err := c.Write(question(t, name)); err != nil {
		t.Fatal(err)
	}
	return answer(t, c)
}

const address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"

func TestNames(t *testing.T) {
	e := engine(t)
	hostResolver(t)
	e.DockerOK("network", "create", "front")
	for _, name := range []string{"web1", "web2"} {
		e.DockerOK("run", "-d", "--network", "front", "--network-alias", "web", "--name", name, "busybox", "httpd", "-f", "-h", "/www")
	}
	e.DockerOK("run", "-d", "--network", "front", "--name", "app", "busybox", "sleep", "10000")
	conf := e.DockerOK("exec", "app", "cat", "/etc/resolv.conf")
	for _, want := range []string{"nameserver 127.0.0.11\nsearch example\noptions edns0 ndots:0\n", "ExtServers: [host(127.0.0.53)]"} {
		if !strings.Contains(conf+"\n", want) {
			t.Errorf("resolv.conf lacks %q:\n%s", want, conf)
		}
	}
	for _, name := range []string{"web1", "web", "WEB2", "web2.front", e.OK("inspect", "-f", "{{.Id}}", "web1")[:12]} {
		var got harness.Result
		if !harness.Await(func() bool { got = e.Docker("exec", "app", "wget", "-qO-", "http://"+name+"/"); return got.Out == page }) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := e.DockerOK("run", "--rm", "--network", "container:app", "busybox", "wget", "-qO-", "http://web1/"); got != strings.TrimSpace(page) {
		t.Errorf("in a joined network: %q", got)
	}
	if got := e.DockerOK("run", "--rm", "busybox", "cat", "/etc/resolv.conf"); strings.Contains(got, "127.0.0.11") {
		t.Errorf("the default network has names: %s", got)
	}
	c := ask(t, e, "app", "udp4")
	web1, web2 := e.OK("inspect", "-f", address, "web1"), e.OK("inspect", "-f", address, "web2")
	first := map[string]int{}
	for range 40 {
		got, _ := lookup(t, c, "web.")
		if len(got) != 2 {
			t.Fatal(got)
		}
		first[got[0]]++
	}
	if first[web1] == 0 || first[web2] == 0 {
		t.Errorf("always the same first: %v", first)
	}
	if got := e.DockerOK("exec", "app", "nslookup", web1); !strings.Contains(got, "web1.front") {
		t.Errorf("reverse: %s", got)
	}
	if got, _ := lookup(t, c, "www.example."); len(got) != 1 || got[0] != "192.0.2.1" {
		t.Errorf("a name of the host's server: %v", got)
	}
	if _, code := lookup(t, c, "nobody."); code != dnsmessage.RCodeNameError {
		t.Errorf("no such name: %v", code)
	}
	// glibc's own resolver, in the image of the host itself.
	if got := e.OK("run", "--rm", "--network", "front", "host", "getent", "ahosts", "web"); !strings.Contains(got, web1) || !strings.Contains(got, web2) {
		t.Errorf("getent: %s", got)
	}
	e.DockerOK("rename", "web1", "other")
	if got, _ := lookup(t, c, "other."); len(got) != 1 || got[0] != web1 {
		t.Errorf("after a rename: %v", got)
	}
	e.DockerOK("rm", "-f", "other")
	if got, _ := lookup(t, c, "web."); len(got) != 1 || got[0] != web2 {
		t.Errorf("after one is gone: %v", got)
	}
}

// A container may be a name server itself, and another's.
func TestNameServerInContainer(t *testing.T) {
	e := engine(t)
	hostResolver(t)
	e.DockerOK("network", "create", "front")
	e.DockerOK("run", "-d", "--network", "front", "--name", "server", "busybox", "sleep", "10000")
	var p net.PacketConn
	within(t, e, "server", func() (err error) {
		p, err = net.ListenPacket("udp4", "0.0.0.0:53")
		return err
	})
	resolve(t, p, "192.0.2.7")
	e.DockerOK("run", "-d", "--network", "front", "--dns", e.OK("inspect", "-f", address, "server"), "--dns-search", "test", "--dns-opt", "ndots:1", "--name", "app", "busybox", "sleep", "10000")
	if got, code := lookup(t, ask(t, e, "app", "udp4"), "www.example."); len(got) != 1 || got[0] != "192.0.2.7" {
		t.Errorf("by the container's server: %v, %v", got, code)
	}
	c := ask(t, e, "server", "udp4")
	if got, _ := lookup(t, c, "app."); len(got) != 1 {
		t.Errorf("a name where port 53 is taken: %v", got)
	}
	if got, _ := lookup(t, c, "www.example."); len(got) != 1 || got[0] != "192.0.2.1" {
		t.Errorf("by the host's server: %v", got)
	}
	if got := e.DockerOK("exec", "app", "cat", "/etc/resolv.conf"); !strings.Contains(got, "search test\noptions ndots:1\n") {
		t.Errorf("resolv.conf: %s", got)
	}
}

func TestInternalNetworkAsksNobody(t *testing.T) {
	e := engine(t)
	hostResolver(t)
	e.DockerOK("network", "create", "--internal", "inner")
	e.DockerOK("run", "-d", "--network", "inner", "--name", "app", "busybox", "sleep", "10000")
	c := ask(t, e, "app", "udp4")
	if got, _ := lookup(t, c, "app."); len(got) != 1 {
		t.Errorf("its own name: %v", got)
	}
	if got, code := lookup(t, c, "www.example."); code != dnsmessage.RCodeServerFailure {
		t.Errorf("a name outside: %v, %v", got, code)
	}
}

// A question that is asked while there is no engine is answered by the next.
func TestNamesOutliveEngine(t *testing.T) {
	e := engine(t)
	hostResolver(t)
	e.DockerOK("network", "create", "front")
	e.DockerOK("run", "-d", "--network", "front", "--name", "app", "busybox", "sleep", "10000")
	e.DockerOK("run", "-d", "--network", "front", "--name", "web", "busybox", "sleep", "10000")
	web := e.OK("inspect", "-f", address, "web")
	c := ask(t, e, "app", "udp4")
	for _, end := range []struct {
		name string
		do   func()
	}{{"kill -9", e.Kill}, {"a stop", e.Stop}} {
		end.do()
		if _, err := c.Write(question(t, "web.")); err != nil {
			t.Fatal(err)
		}
		e.Start()
		if got, code := answer(t, c); len(got) != 1 || got[0] != web {
			t.Errorf("after %s: %v, %v", end.name, got, code)
		}
	}
	// Without the shim's copies the next engine makes new sockets.
	e.Kill()
	e.KillShim()
	e.Start()
	if got, code := lookup(t, c, "web."); len(got) != 1 || got[0] != web {
		t.Errorf("after both were killed: %v, %v", got, code)
	}
	e.KillShim()
	harness.Eventually(t, "the next shim with the sockets", func() bool {
		return e.ShimPid() != 0 && len(common(sockets(e.Pid()), sockets(e.ShimPid()))) == 4
	})
	e.Kill()
	if _, err := c.Write(question(t, "web.")); err != nil {
		t.Fatal(err)
	}
	e.Start()
	if got, code := answer(t, c); len(got) != 1 || got[0] != web {
		t.Errorf("after a shim and then the engine were killed: %v, %v", got, code)
	}
}

// sockets are those that a process has open.
func sockets(pid int) []string {
	var all []string
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			all = append(all, to)
		}
	}
	return all
}

func common(a, b []string) []string {
	return slices.DeleteFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}
