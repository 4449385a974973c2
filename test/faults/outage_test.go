package faults

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// What restart policies make of a killed engine and of a reboot.
func TestRestartPolicies(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	policies := []string{"no", "always", "unless-stopped", "on-failure"}
	var all []string
	for _, policy := range policies {
		for _, kind := range []string{"run", "stop"} {
			name := kind + policy
			all = append(all, name)
			e.OK("run", "-d", "--restart", policy, "--name", name, "busybox", "sleep", "1000")
		}
	}
	e.OK("run", "-d", "--restart", "always", "--name", "ends", "-v", e.Dir+":/gate", "busybox", "sh", "-c",
		"echo begun; while [ ! -e /gate/go ]; do usleep 20000; done; rm /gate/go; exit 3")
	for _, policy := range policies {
		e.OK("stop", "-t", "0", "stop"+policy)
	}

	e.Kill()
	if err := touch(e.Dir + "/go"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "an exit while no engine runs", func() bool { return !exists(e.Dir + "/go") })
	e.Start()
	harness.Eventually(t, "the restart", func() bool {
		return strings.Count(e.OK("logs", "ends"), "begun") == 2 && strings.HasPrefix(state(e, "ends"), "running")
	})
	running := map[string]bool{"runno": true, "runalways": true, "rununless-stopped": true, "runon-failure": true, "stopalways": true}
	checkRunning(t, e, all, running)

	reboot(t, e, append(all, "ends")...)
	delete(running, "runno")
	harness.Eventually(t, "the restart after a reboot", func() bool { return strings.HasPrefix(state(e, "ends"), "running") })
	checkRunning(t, e, all, running)
	if got := state(e, "runno"); got != "exited -1" {
		t.Errorf("a code was made up: %s", got)
	}
}

func checkRunning(t *testing.T, e *harness.Engine, names []string, running map[string]bool) {
	t.Helper()
	for _, name := range names {
		got := ""
		if !harness.Await(func() bool { got = state(e, name); return strings.HasPrefix(got, "running") == running[name] }) {
			t.Errorf("%s: %s, and it should run: %v", name, got, running[name])
		}
		if running[name] {
			e.OK("exec", name, "true")
		}
	}
}

// Each log driver over the death of both processes.
func TestLogDriversOverOutage(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	for _, driver := range []string{"ring", "json-file", "none"} {
		e.OK("run", "-d", "--log-driver", driver, "--name", driver, "-v", e.Dir+":/gate", "busybox", "sh", "-c",
			"echo one; echo two >&2; while [ ! -e /gate/go ]; do usleep 20000; done; echo three; while [ ! -e /gate/end ]; do usleep 20000; done; echo four")
	}
	e.Kill()
	e.KillShim()
	if err := touch(e.Dir + "/go"); err != nil {
		t.Fatal(err)
	}
	e.Start()
	if err := touch(e.Dir + "/end"); err != nil {
		t.Fatal(err)
	}
	for _, driver := range []string{"ring", "json-file", "none"} {
		awaitState(t, e, driver, "exited 0")
	}
	for _, driver := range []string{"ring", "json-file"} {
		r := e.Berth("logs", driver)
		if r.Code != 0 || r.Out != "one\nthree\nfour\n" || r.Err != "two\n" {
			t.Errorf("%s: %+v", driver, r)
		}
	}
	if r := e.Berth("logs", "none"); r.Code == 0 || !strings.Contains(r.Err, "does not support reading") {
		t.Errorf("logs without a log: %+v", r)
	}
}

// A data root without space: errors say so, nothing dies, and with space again all works.
func TestFullDisk(t *testing.T) {
	e := harness.New(t)
	e.Stop()
	e.DataRoot = filepath.Join(disk, t.Name())
	e.Start()
	e.Busybox()
	e.OK("run", "-d", "--name", "talks", "-v", e.Dir+":/gate", "busybox", "sh", "-c",
		"i=0; while [ ! -e /gate/end ]; do echo $i; i=$((i+1)); usleep 5000; done; exit 6")
	e.OK("run", "-d", "--name", "quiet", "busybox", "sh", "-c", "sleep 1000")
	brief := e.OK("run", "-d", "--rm", "-v", e.Dir+":/gate", "busybox", "sh", "-c", "while [ ! -e /gate/end ]; do usleep 5000; done")
	fill(t, filepath.Join(disk, "ballast"))

	r := e.WithInput(strings.Repeat("x", 4<<20), "import", "-", "big")
	if r.Code == 0 || strings.Count(strings.TrimSpace(r.Err), "\n") > 0 {
		t.Errorf("import on a full disk: %d %s", r.Code, r.Err)
	}
	for _, args := range [][]string{{"run", "--rm", "busybox", "true"}, {"run", "-d", "--name", "late", "busybox", "sleep", "1000"}} {
		if r := e.Berth(args...); r.Code != 0 && !strings.Contains(r.Err, "no space left on device") {
			t.Errorf("%v on a full disk: %d %s", args, r.Code, r.Err)
		}
	}
	for _, name := range []string{"talks", "quiet"} {
		if got := state(e, name); got != "running 0" {
			t.Errorf("%s: %s", name, got)
		}
	}
	e.OK("logs", "talks")
	if r := e.Berth("exec", "quiet", "echo", "alive"); r.Code != 0 || r.Out != "alive\n" {
		t.Errorf("exec on a full disk: %+v", r)
	}
	// An exit that cannot be stored now is stored later, also over a kill of the engine.
	if err := touch(e.Dir + "/end"); err != nil {
		t.Fatal(err)
	}
	awaitState(t, e, "talks", "exited 6")
	e.Kill()
	if err := os.Remove(filepath.Join(disk, "ballast")); err != nil {
		t.Fatal(err)
	}
	e.Start()
	awaitState(t, e, "talks", "exited 6")
	if got := e.OK("run", "--rm", "busybox", "echo", "fine"); got != "fine" {
		t.Errorf("with space again: %q", got)
	}
	e.OK("start", "talks")
	e.OK("exec", "quiet", "true")
	harness.Eventually(t, "the container with --rm to go", func() bool {
		return e.Berth("inspect", brief).Code != 0 && !exists(filepath.Join(e.DataRoot, "rootfs", brief)) && !exists(filepath.Join(e.ExecRoot, "shim", brief))
	})
}

// fill writes until nothing more goes in.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 512; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

// A database that was copied while it was written, or cut: a clear error or
// what it holds, never a crash; the good one works again.
func TestTornDatabase(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	for _, name := range []string{"one", "two", "three"} {
		e.OK("create", "--name", name, "busybox")
	}
	e.Stop()
	path := filepath.Join(e.DataRoot, "engine.db")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	torn := map[string]func([]byte) []byte{
		"cut to a page":     func(b []byte) []byte { return b[:4096] },
		"cut in the middle": func(b []byte) []byte { return b[:len(b)/2] },
		"cut in a page":     func(b []byte) []byte { return b[:len(b)-1000] },
		"zeroes at the end": func(b []byte) []byte { clear(b[len(b)/2:]); return b },
		"zeroes in pages":   func(b []byte) []byte { clear(b[8192:16384]); return b },
		"noise in pages": func(b []byte) []byte {
			for i := 8192; i < len(b); i++ {
				b[i] ^= byte(i * 7)
			}
			return b
		},
	}
	for what, tear := range torn {
		t.Run(what, func(t *testing.T) {
			if err := os.WriteFile(path, tear([]byte(string(good))), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := e.TryStart(); err == nil {
				e.OK("ps", "-a")
				e.Stop()
			} else if log := lastLine(e.Log()); !strings.Contains(log, "engine.db") || !strings.Contains(log, "move the file away") {
				t.Errorf("the error: %s", log)
			}
		})
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	e.Start()
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
