package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

func TestRegistry(t *testing.T) {
	e := engine(t)
	host := harness.Registry(t)
	id := e.OK("image", "inspect", "-f", "{{.Id}}", "busybox")
	for _, client := range []string{"berth", "docker"} {
		run := e.OK
		if client == "docker" {
			run = e.DockerOK
		}
		name := host + "/" + client + "/box:1"
		run("tag", "busybox", name)
		run("push", name)
		run("rmi", name)
		run("pull", name)
		if got := e.OK("image", "inspect", "-f", "{{.Id}}", name); got != id {
			t.Errorf("%s: pushed %s, pulled %s", client, id, got)
		}
		if out := run("pull", name); !strings.Contains(out, "Image is up to date") {
			t.Errorf("%s: second pull: %s", client, out)
		}
	}
	status, body, err := e.Do("GET", "/distribution/"+host+"/berth/box:1/json", "")
	if err != nil || status != http.StatusOK || !strings.Contains(body, `"Platforms":[{"architecture":`) {
		t.Errorf("what the registry has: %d %s %v", status, body, err)
	}
	if out := e.DockerOK("manifest", "inspect", "--insecure", host+"/berth/box:1"); !strings.Contains(out, `"layers"`) {
		t.Errorf("docker manifest inspect: %s", out)
	}
	e.OK("rmi", "-f", "busybox", host+"/berth/box:1", host+"/docker/box:1")
	if got := e.OK("run", "--rm", host+"/berth/box:1", "echo", "pulled"); got != "pulled" {
		t.Errorf("run pulls what is missing: %q", got)
	}
}

func TestBadRegistries(t *testing.T) {
	e := harness.New(t)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>not a registry</html>", http.StatusInternalServerError)
	}))
	defer broken.Close()
	host := harness.Registry(t)
	for name, want := range map[string]string{
		"127.0.0.1:1/nobody/home":                          "connection refused",
		strings.TrimPrefix(broken.URL, "http://") + "/x/y": "500",
		host + "/no/such:1":                                "not found",
		"library/UPPER":                                    "lowercase",
	} {
		r := e.Berth("pull", name)
		if r.Code != 1 || !strings.Contains(strings.ToLower(r.Err), want) || strings.Count(strings.TrimSpace(r.Err), "\n") > 0 {
			t.Errorf("pull %s: exit %d, want one line with %q: %q", name, r.Code, want, r.Err)
		}
	}
	if got := e.OK("images", "-q"); got != "" && strings.Count(got, "\n") > 0 {
		t.Errorf("images: %q", got)
	}
}
