package e2e

import (
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// Ports, environment, labels and mounts of a container change under the same ID.
func TestUpdateWithoutRecreating(t *testing.T) {
	e := engine(t)
	id := e.OK("run", "-d", "--name", "web", "-p", "127.0.0.1:18080:8080", "-e", "OLD=1", "-l", "old=1", "-v", "first:/first",
		"busybox", "sh", "-c", "mkdir -p /www; env > /www/env; exec httpd -f -p 8080 -h /www")
	env := func(port string) string { return get(t, "http://127.0.0.1:"+port+"/env") }
	harness.Eventually(t, "it to serve", func() bool { return strings.Contains(env("18080"), "OLD=1") })
	r := e.Berth("update", "--publish-add", "127.0.0.1:18081:8080", "--publish-rm", "18080:8080", "--env-add", "NEW=2", "--env-rm", "OLD",
		"--label-add", "new=2", "--label-rm", "old", "--mount-add", "source=second,target=/second", "--mount-rm", "/first", "--restart", "unless-stopped", "web")
	if r.Code != 0 || !strings.Contains(r.Err, "at the next start") {
		t.Fatalf("%+v", r)
	}
	if !strings.Contains(env("18080"), "refused") || !strings.Contains(env("18081"), "OLD=1") {
		t.Errorf("18080: %q, 18081: %q", env("18080"), env("18081"))
	}
	inspect := func(format string) string { return e.OK("inspect", "-f", format, "web") }
	if got := inspect("{{json .NetworkSettings.Ports}}{{json .Config.Labels}}{{range .Mounts}}{{.Name}}{{end}}"); got != `{"8080/tcp":[{"HostIp":"127.0.0.1","HostPort":"18081"}]}{"new":"2"}first` {
		t.Errorf("while it runs: %s", got)
	}
	e.Kill()
	e.Start()
	if !strings.Contains(env("18081"), "OLD=1") {
		t.Error("after kill -9 of the engine the port is gone")
	}
	e.OK("restart", "-t", "0", "web")
	harness.Eventually(t, "it to serve", func() bool { return strings.Contains(env("18081"), "NEW=2") })
	if got := env("18081"); strings.Contains(got, "OLD=") {
		t.Errorf("environment: %s", got)
	}
	if got := inspect("{{.ID}} {{range .Mounts}}{{.Name}}{{end}} {{.HostConfig.RestartPolicy.Name}}"); got != strings.TrimSpace(id)+" second unless-stopped" {
		t.Errorf("after the restart: %s", got)
	}
	for _, bad := range [][]string{{"--publish-rm", "1:2"}, {"--env-rm", "NONE"}, {"--label-rm", "none"}, {"--mount-rm", "/none"}, {"--publish-add", "x"}} {
		if r := e.Berth(append(append([]string{"update"}, bad...), "web")...); r.Code == 0 {
			t.Errorf("%v was taken", bad)
		}
	}
	e.OK("rm", "-f", "web")
	e.OK("volume", "rm", "first", "second")
}
