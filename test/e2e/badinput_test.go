package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// Every wrong input is one line that names the thing, and leaves nothing.
func TestBadInput(t *testing.T) {
	e := engine(t)
	e.OK("create", "--name", "taken", "busybox")
	cid := filepath.Join(t.TempDir(), "cid")
	if err := os.WriteFile(cid, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"run", "--rm", "--pull", "never", "nosuchimage", "true"}, "nosuchimage", 125},
		{[]string{"run", "--no-such-flag", "busybox"}, "--no-such-flag", 125},
		{[]string{"nosuchverb"}, "nosuchverb", 1},
		{[]string{"run", "--rm", "--name", "taken", "busybox"}, `"/taken" is already in use`, 125},
		{[]string{"run", "--rm", "--name", "b@d", "busybox"}, "b@d", 125},
		{[]string{"run", "--rm", "-m", "lots", "busybox"}, "lots", 125},
		{[]string{"run", "--rm", "-m", "1k", "busybox"}, "6MB", 125},
		{[]string{"run", "--rm", "--cpus", "1000", "busybox"}, "CPUs", 125},
		{[]string{"run", "--rm", "--cpuset-cpus", "900", "busybox"}, "900", 125},
		{[]string{"run", "--rm", "-p", "99999:80", "busybox"}, "99999", 125},
		{[]string{"run", "--rm", "-v", "relative/path:/x", "busybox"}, "relative/path", 125},
		{[]string{"run", "--rm", "-v", "/tmp:relative", "busybox"}, "relative", 125},
		{[]string{"run", "--rm", "--network", "nosuchnet", "busybox"}, "nosuchnet", 125},
		{[]string{"run", "--rm", "--network", "container:nosuch", "busybox"}, "nosuch", 125},
		{[]string{"run", "--rm", "--cap-add", "FLY", "busybox"}, "FLY", 125},
		{[]string{"run", "--rm", "--device", "/dev/nosuch", "busybox"}, "/dev/nosuch", 125},
		{[]string{"run", "--rm", "--ulimit", "nofile=x", "busybox"}, "nofile", 125},
		{[]string{"run", "--rm", "--sysctl", "kernel.panic=1", "busybox"}, "kernel.panic", 125},
		{[]string{"run", "--rm", "--restart", "always", "busybox"}, "--rm", 125},
		{[]string{"run", "--rm", "--log-driver", "pigeon", "busybox"}, "pigeon", 125},
		{[]string{"run", "--rm", "--stop-signal", "SIGNOPE", "busybox"}, "SIGNOPE", 125},
		{[]string{"run", "--rm", "--cidfile", cid, "busybox"}, cid, 125},
		{[]string{"run", "--rm", "--security-opt", "seccomp=/no/such.json", "busybox"}, "/no/such.json", 125},
		{[]string{"start", "nosuch"}, "No such container: nosuch", 1},
		{[]string{"exec", "taken", "true"}, "is not running", 1},
		{[]string{"rmi", "nosuch"}, "nosuch", 1},
	} {
		r := e.Berth(tc.args...)
		if r.Code != tc.code || !strings.Contains(r.Err, tc.want) {
			t.Errorf("%v: exit %d (want %d), want %q in %q", tc.args, r.Code, tc.code, tc.want, r.Err)
		}
	}
	if got := e.OK("ps", "-a", "--format", "{{.Names}}"); got != "taken" {
		t.Errorf("left behind: %q", got)
	}
	if got := e.OK("volume", "ls", "-q"); got != "" {
		t.Errorf("volumes left behind: %q", got)
	}
}

func TestSecondEngine(t *testing.T) {
	e := engine(t)
	second := *e
	second.Socket = e.Socket + "2"
	err := second.TryStart()
	if err == nil {
		t.Fatal("a second engine started on the same root")
	}
	if log := second.Log(); !strings.Contains(log, e.DataRoot) {
		t.Errorf("the refusal does not name the root: %s", log)
	}
	if got := e.OK("run", "--rm", "busybox", "echo", "fine"); got != "fine" {
		t.Errorf("the first engine: %q", got)
	}
}

func TestTwoEnginesSideBySide(t *testing.T) {
	a, b := engine(t), engine(t)
	for _, e := range []*harness.Engine{a, b} {
		e.OK("run", "-d", "--name", "same", "busybox", "httpd", "-f", "-h", "/www")
	}
	for _, e := range []*harness.Engine{a, b} {
		ip := e.OK("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "same")
		harness.Eventually(t, "the web server at "+ip, func() bool { return get(t, "http://"+ip+"/") == page })
	}
}

func TestConfigurationFile(t *testing.T) {
	e := harness.New(t)
	e.Stop()
	file := filepath.Join(e.Dir, "daemon.json")
	if err := os.WriteFile(file, []byte(`{"log-levle": "debug"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	e.Flags = []string{"--config-file", file}
	if err := e.TryStart(); err == nil {
		t.Fatal("an unknown key was accepted")
	}
	if log := e.Log(); !strings.Contains(log, file) || !strings.Contains(log, "log-levle") {
		t.Errorf("the error names neither file nor key: %s", log)
	}
	e.Flags = nil
}
