package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// endShim ends an idle shim as its user does.
func endShim(t *testing.T, e *harness.Engine) {
	t.Helper()
	harness.Eventually(t, "the shim to end", func() bool {
		pid := e.ShimPid()
		if pid == 0 {
			return true
		}
		_ = syscall.Kill(pid, syscall.SIGTERM) // ignored while a container runs
		return false
	})
}

// The cgroup parent goes with whoever is last.
func TestCgroupParentGoes(t *testing.T) {
	e := engine(t)
	e.OK("run", "--rm", "busybox", "true")
	if len(e.Cgroups()) == 0 {
		t.Fatal("no cgroup was made")
	}
	e.Stop()
	if left := e.Cgroups(); len(left) > 0 {
		t.Errorf("after the engine: %v", left)
	}
	e.Start()
	e.OK("run", "-d", "--name", "last", "busybox", "sleep", "1000")
	pid, err := strconv.Atoi(e.OK("inspect", "-f", "{{.State.Pid}}", "last"))
	if err != nil {
		t.Fatal(err)
	}
	e.Stop()
	if len(e.Cgroups()) == 0 {
		t.Fatal("the cgroup of a container that runs is gone")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	endShim(t, e)
	if left := e.Cgroups(); len(left) > 0 {
		t.Errorf("after the shim: %v", left)
	}
}

// A start that fails ends the shim that it made, and no other.
func TestShimOfFailedStart(t *testing.T) {
	e := harness.New(t)
	e.Stop()
	db := filepath.Join(e.DataRoot, "engine.db")
	if err := os.Rename(db, db+".good"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(db, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() {
		t.Helper()
		if err := e.TryStart(); err == nil {
			t.Fatal("the engine started on a broken database")
		}
	}
	before := e.ShimPid()
	start()
	if now := e.ShimPid(); now != before || now == 0 {
		t.Errorf("the shim that was there had pid %d, now it is %d", before, now)
	}
	endShim(t, e)
	start()
	harness.Eventually(t, "the shim of the failed start to end", func() bool { return e.ShimPid() == 0 })
	if err := os.Rename(db+".good", db); err != nil {
		t.Fatal(err)
	}
	e.Start()
}

// The error of a start is said once, whoever waits for the container's end.
func TestFailedStartIsToldOnce(t *testing.T) {
	e := engine(t)
	for name, cli := range map[string]func(args ...string) harness.Result{"docker": e.Docker, "berth": e.Berth} {
		for _, rm := range []bool{true, false} {
			args := []string{"run", "-i", "--rm", "--name", "web", "busybox", "nosuch"}
			if !rm {
				args = slices.DeleteFunc(args, func(s string) bool { return s == "--rm" })
			}
			r := cli(args...)
			if n := strings.Count(r.Err, "executable file not found"); r.Code != 127 || n != 1 {
				t.Errorf("%s, --rm %v: exit %d, told %d times: %s", name, rm, r.Code, n, r.Err)
			}
			if !rm {
				e.OK("rm", "web")
			}
		}
	}
	if left := e.OK("ps", "-aq"); left != "" {
		t.Errorf("--rm left %s", left)
	}
}

// What images lists can be looked up, as docker-py does with each.
func TestListedImagesAreFound(t *testing.T) {
	e := engine(t)
	for _, id := range strings.Fields(e.DockerOK("images", "-aq", "--no-trunc")) {
		e.DockerOK("image", "inspect", id)
	}
}
