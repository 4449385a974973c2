package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// Options whose effect shows beside the container, not in its output.
func TestOptions(t *testing.T) {
	e := engine(t)
	t.Run("cidfile", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "cid")
		id := e.OK("run", "-d", "--cidfile", file, "busybox", "sleep", "1000")
		if b, err := os.ReadFile(file); err != nil || string(b) != id {
			t.Errorf("%q, %v; want %s", b, err, id)
		}
	})
	t.Run("stop signal and time-out", func(t *testing.T) {
		e.OK("run", "-d", "--name", "polite", "--stop-signal", "USR1", "--stop-timeout", "100", "busybox", "sh", "-c",
			"trap 'exit 5' USR1; trap '' TERM; echo ready; while :; do sleep 0.05; done")
		harness.Eventually(t, "the trap", func() bool { return e.OK("logs", "polite") == "ready" })
		e.OK("stop", "polite")
		if got := e.OK("inspect", "-f", "{{.State.ExitCode}}", "polite"); got != "5" {
			t.Errorf("exit code %s", got)
		}
	})
	t.Run("publish all", func(t *testing.T) {
		e.OK("run", "-d", "--name", "all", "--expose", "80", "--expose", "90/udp", "-P", "busybox", "httpd", "-f", "-h", "/www")
		out := e.OK("port", "all")
		if strings.Count(out, "->") < 2 {
			t.Errorf("ports: %s", out)
		}
		addr := strings.TrimSpace(e.OK("port", "all", "80"))
		harness.Eventually(t, addr, func() bool { return get(t, "http://"+strings.Replace(addr, "0.0.0.0", "127.0.0.1", 1)+"/") == page })
	})
	t.Run("log size", func(t *testing.T) {
		for driver, opts := range map[string][]string{
			"ring":      {"--log-opt", "max-size=64k", "--log-opt", "max-file=2"},
			"json-file": {"--log-driver", "json-file", "--log-opt", "max-size=64k", "--log-opt", "max-file=2"},
		} {
			args := append([]string{"run", "--name", "big-" + driver}, opts...)
			e.OK(append(args, "busybox", "sh", "-c", "yes 0123456789012345678901234567890123456789 | head -n 20000; echo the end")...)
			got := e.OK("logs", "big-"+driver)
			if len(got) > 200<<10 || !strings.HasSuffix(got, "the end") {
				t.Errorf("%s keeps %d bytes and ends %q", driver, len(got), got[max(0, len(got)-20):])
			}
		}
	})
	t.Run("signal proxy off", func(t *testing.T) {
		cmd := e.Command("berth", "run", "--sig-proxy=false", "--name", "deaf", "busybox", "sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "the container", func() bool { return e.Berth("inspect", "-f", "{{.State.Running}}", "deaf").Out == "true\n" })
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if got := e.OK("inspect", "-f", "{{.State.Running}}", "deaf"); got != "true" {
			t.Errorf("the signal reached it: running %s", got)
		}
	})
	t.Run("detach keys", func(t *testing.T) {
		x := open(t, e.Command("berth", "run", "-it", "--detach-keys", "ctrl-x,d", "--name", "keys", "busybox", "sh"))
		x.send("echo up-$((1+1))\n")
		x.expect("up-2")
		x.send("\x18d")
		if code := x.ends(); code != 0 {
			t.Errorf("exit %d", code)
		}
		if got := e.OK("inspect", "-f", "{{.State.Running}}", "keys"); got != "true" {
			t.Errorf("running %s", got)
		}
	})
	t.Run("filters", func(t *testing.T) {
		e.OK("create", "--name", "labelled", "--label", "tier=web", "busybox")
		if got := e.OK("ps", "-a", "--filter", "label=tier=web", "--filter", "status=created", "--format", "{{.Names}}"); got != "labelled" {
			t.Errorf("ps: %q", got)
		}
	})
}

// A user who is root and has no engine gets one, at the default places; a socket
// that was named and is not there is an error.
func TestEngineIsStarted(t *testing.T) {
	e := harness.New(t)
	out, err := e.Command("berth", "-H", "unix://"+filepath.Join(e.Dir, "none.sock"), "version").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "none.sock") {
		t.Errorf("a socket that is not there: %v %s", err, out)
	}

	for _, dir := range []string{"/run", "/var/lib"} { // the lab's own
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		defer syscall.Unmount(dir, syscall.MNT_DETACH)
	}
	berth := func(args ...string) string {
		cmd := exec.Command(harness.Bin(t, "berth"), args...)
		cmd.Env = append(os.Environ(), "BERTH_HOST=", "DOCKER_HOST=", "HOME="+e.Dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("berth %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if got := berth("run", "--rm", "--network", "none", "host", "echo", "started"); got != "started" {
		t.Errorf("run: %q", got)
	}
	engine, shim := harness.Find("berthd", "/run/berth"), harness.Find("berth-shim", "/run/berth")
	if engine == 0 || shim == 0 {
		t.Fatalf("engine %d, shim %d", engine, shim)
	}
	for _, pid := range []int{engine, shim} {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		harness.Eventually(t, "it to end", func() bool { return syscall.Kill(pid, 0) != nil })
	}
}
