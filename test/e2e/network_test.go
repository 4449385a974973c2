package e2e

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

func get(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Timeout: harness.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

const page = "hello from a container\n"

func TestPublishedPort(t *testing.T) {
	e := engine(t)
	e.OK("run", "-d", "--name", "web", "-p", "18080:80", "-p", "127.0.0.1:18081:80/tcp", "-P", "busybox", "httpd", "-f", "-h", "/www")
	harness.Eventually(t, "the web server", func() bool { return get(t, "http://127.0.0.1:18080/") == page })
	if got := get(t, "http://127.0.0.1:18081/"); got != page {
		t.Errorf("by 127.0.0.1 only: %q", got)
	}
	ip := e.OK("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "web")
	gateway := e.OK("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}", "web")
	if got := get(t, "http://"+ip+"/"); got != page {
		t.Errorf("by its address: %q", got)
	}
	if got := get(t, "http://"+gateway+":18080/"); got != page {
		t.Errorf("by the host's address: %q", got)
	}
	for what, url := range map[string]string{"neighbour": "http://" + ip + "/", "hairpin": "http://" + gateway + ":18080/"} {
		if got := e.OK("run", "--rm", "busybox", "wget", "-qO-", url); got != strings.TrimSpace(page) {
			t.Errorf("%s: %q", what, got)
		}
	}
	if got := e.OK("exec", "web", "wget", "-qO-", "http://"+gateway+":18080/"); got != strings.TrimSpace(page) {
		t.Errorf("hairpin to itself: %q", got)
	}
	r := e.Berth("run", "--rm", "-p", "18080:80", "busybox", "true")
	if r.Code != 125 || !strings.Contains(r.Err, "port is already allocated") {
		t.Errorf("a port in use: %+v", r)
	}
	l, err := net.Listen("tcp", "127.0.0.1:18090")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r = e.Berth("run", "--rm", "-p", "127.0.0.1:18090:80", "busybox", "true")
	if r.Code != 125 || !strings.Contains(r.Err, "18090") {
		t.Errorf("a port of another process: %+v", r)
	}
	e.OK("rm", "-f", "web")
	e.OK("run", "-d", "--name", "web", "-p", "18080:80", "busybox", "httpd", "-f", "-h", "/www")
	harness.Eventually(t, "the same port again", func() bool { return get(t, "http://127.0.0.1:18080/") == page })
}

func TestJoinedNamespaces(t *testing.T) {
	e := engine(t)
	e.OK("run", "-d", "--name", "aa", "-h", "ahost", "--ipc", "shareable", "busybox", "httpd", "-f", "-h", "/www")
	harness.Eventually(t, "a shared network", func() bool {
		return e.Berth("run", "--rm", "--network", "container:aa", "busybox", "wget", "-qO-", "http://127.0.0.1/").Out == page
	})
	if got := e.OK("run", "--rm", "--pid", "container:aa", "busybox", "ps"); !strings.Contains(got, "httpd") {
		t.Errorf("shared pids: %s", got)
	}
	e.OK("run", "--rm", "--ipc", "container:aa", "busybox", "touch", "/dev/shm/seen")
	if got := e.OK("exec", "aa", "ls", "/dev/shm"); got != "seen" {
		t.Errorf("shared ipc: %q", got)
	}
}
