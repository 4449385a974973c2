package e2e

import (
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

const httpd = "httpd -f -h /www"

// serve runs a web server in networks.
func serve(e *harness.Engine, name string, options ...string) {
	e.DockerOK(append(append([]string{"run", "-d", "--name", name}, options...), append([]string{"busybox"}, strings.Fields(httpd)...)...)...)
}

// reads is whether a container gets the page of an address.
func reads(t *testing.T, e *harness.Engine, from, url string) {
	t.Helper()
	harness.Eventually(t, from+" to read "+url, func() bool {
		return e.Docker("exec", from, "timeout", "5", "wget", "-qO-", url).Out == page
	})
}

func fails(t *testing.T, e *harness.Engine, from, url string) {
	t.Helper()
	if r := e.Docker("exec", from, "timeout", "1", "wget", "-qO-", url); r.Code == 0 {
		t.Errorf("%s reads %s: %s", from, url, r.Out)
	}
}

func addressOf(e *harness.Engine, name, network string) string {
	return e.DockerOK("inspect", "-f", `{{(index .NetworkSettings.Networks "`+network+`").IPAddress}}`, name)
}

// Two networks and the default one, with the stock client, over a crash of the
// engine in the middle.
func TestUserNetworks(t *testing.T) {
	e := engine(t)
	e.DockerOK("network", "create", "--subnet", "10.88.0.0/24", "--label", "tier=front", "front")
	e.DockerOK("network", "create", "--internal", "back")
	e.DockerOK("network", "create", "--ipv6", "six")
	serve(e, "web", "--network", "front", "--network-alias", "www", "--ip", "10.88.0.80", "-p", "18085:80")
	serve(e, "db", "--network", "back")
	serve(e, "old")
	reads(t, e, "web", "http://www/")
	fails(t, e, "web", "http://"+addressOf(e, "db", "back")+"/")
	fails(t, e, "db", "http://10.88.0.80/")
	fails(t, e, "old", "http://10.88.0.80/")
	for want, args := range map[string][]string{
		"network with name front already exists":                     {"network", "create", "front"},
		"Pool overlaps with other one on this address space":         {"network", "create", "--subnet", "10.88.0.128/25", "x"},
		"operation is not permitted on predefined bridge network":    {"network", "create", "bridge"},
		"has active endpoints":                                       {"network", "rm", "front"},
		"bridge is a pre-defined network and cannot be removed":      {"network", "rm", "bridge"},
		"Address already in use":                                     {"run", "--rm", "--network", "front", "--ip", "10.88.0.80", "busybox", "true"},
		"no configured subnet contains IP address 10.89.0.1":         {"run", "--rm", "--network", "front", "--ip", "10.89.0.1", "busybox", "true"},
		"network nowhere not found":                                  {"run", "--rm", "--network", "nowhere", "busybox", "true"},
		"endpoint with name web already exists in network front":     {"network", "connect", "front", "web"},
		"container cannot be connected to multiple networks":         {"network", "connect", "none", "web"},
		"user-specified IP address is supported on user-defined net": {"run", "--rm", "--ip", "172.30.0.99", "busybox", "true"},
	} {
		if r := e.Docker(args...); r.Code == 0 || !strings.Contains(r.Err, want) {
			t.Errorf("%v: %+v", args, r)
		}
	}

	// Live, and after a crash everything is as it was.
	e.DockerOK("network", "connect", "--alias", "store", "back", "web")
	e.DockerOK("network", "connect", "six", "web")
	reads(t, e, "web", "http://db/")
	before := e.DockerOK("inspect", "-f", "{{json .NetworkSettings.Networks}} {{json .NetworkSettings.Ports}}", "web", "db")
	networks := e.DockerOK("network", "inspect", "front", "back", "six")
	e.Kill()
	if got := get(t, "http://127.0.0.1:18085/"); got != page {
		t.Errorf("a published port without an engine: %q", got)
	}
	e.Start()
	if after := e.DockerOK("inspect", "-f", "{{json .NetworkSettings.Networks}} {{json .NetworkSettings.Ports}}", "web", "db"); after != before {
		t.Errorf("before the crash %s\nafter it %s", before, after)
	}
	if after := e.DockerOK("network", "inspect", "front", "back", "six"); after != networks {
		t.Errorf("before the crash %s\nafter it %s", networks, after)
	}
	reads(t, e, "web", "http://db/")
	reads(t, e, "db", "http://store/")

	// A container that starts again has its address, and what runs finds it.
	e.DockerOK("restart", "-t", "0", "web")
	if got := addressOf(e, "web", "front"); got != "10.88.0.80" {
		t.Errorf("address after a restart: %s", got)
	}
	reads(t, e, "db", "http://store/")
	harness.Eventually(t, "the published port", func() bool { return get(t, "http://127.0.0.1:18085/") == page })
	e.DockerOK("network", "disconnect", "back", "web")
	fails(t, e, "db", "http://store/")
	if r := e.Docker("network", "disconnect", "back", "web"); !strings.Contains(r.Err, "is not connected to network back") {
		t.Errorf("%+v", r)
	}
	six := e.DockerOK("inspect", "-f", "{{.NetworkSettings.Networks.six.GlobalIPv6Address}}", "web")
	serve(e, "client6", "--network", "six")
	reads(t, e, "client6", "http://["+six+"]/")
	e.DockerOK("rm", "-f", "web", "db", "old", "client6")
	if got := e.DockerOK("network", "prune", "-f", "--filter", "label=tier=front"); got != "Deleted Networks:\nfront" {
		t.Errorf("prune: %q", got)
	}
	e.DockerOK("network", "rm", "back", "six")
	if got := e.DockerOK("network", "ls", "-q", "--filter", "type=custom"); got != "" {
		t.Errorf("networks left: %s", got)
	}
}

// Links of the default network have hosts lines and environment entries.
func TestLinksOfTheDefaultNetwork(t *testing.T) {
	e := engine(t)
	serve(e, "db", "--expose", "80", "-e", "SECRET=x")
	out := e.DockerOK("run", "--rm", "--link", "db:store", "busybox", "sh", "-c", "wget -qO- http://store/; echo $STORE_PORT_80_TCP_PORT $STORE_ENV_SECRET")
	if out != page+"80 x" {
		t.Errorf("linked: %q", out)
	}
	e.DockerOK("stop", "-t", "0", "db")
	if r := e.Docker("run", "--rm", "--name", "app", "--link", "db:store", "busybox", "true"); !strings.Contains(r.Err, "Cannot link to a non running container: /db AS /app/store") {
		t.Errorf("%+v", r)
	}
}
