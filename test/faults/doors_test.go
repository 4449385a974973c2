package faults

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// elsewhere are the lines of a process's cgroups that are not in its container's group.
func elsewhere(e *harness.Engine, cgroups, id string) string {
	var wrong []string
	for line := range strings.Lines(cgroups) {
		if !strings.HasSuffix(strings.TrimSpace(line), ":"+e.CgroupParent+"/"+id) {
			wrong = append(wrong, strings.TrimSpace(line))
		}
	}
	if cgroups == "" {
		return "none is known"
	}
	return strings.Join(wrong, "\n")
}

// A hundred containers at once, each with limits: every process is in its own
// group in each hierarchy, also one that is executed in it.
func TestEachInItsOwnGroup(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	const many = 100
	failed := make(chan string, many)
	for i := range many {
		cmd := e.Command("berth", "run", "-d", "--name", fmt.Sprint("box", i), "--cgroupns", "host", "--network", "none",
			"--memory", "64m", "--pids-limit", "20", "--cpuset-cpus", "0", "busybox", "sh", "-c", "cat /proc/self/cgroup; exec sleep 1000")
		go func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				failed <- string(out)
				return
			}
			failed <- ""
		}()
	}
	for range many {
		if text := <-failed; text != "" {
			t.Error(text)
		}
	}
	for _, line := range strings.Split(e.OK("ps", "-a", "--no-trunc", "--format", "{{.Names}} {{.ID}}"), "\n") {
		name, id, _ := strings.Cut(line, " ")
		pid := e.OK("inspect", "-f", "{{.State.Pid}}", name)
		b, err := os.ReadFile("/proc/" + pid + "/cgroup")
		if wrong := elsewhere(e, string(b), id); wrong != "" || err != nil {
			t.Errorf("%s is in %s %v", name, wrong, err)
		}
		var said string
		harness.Eventually(t, "the output of "+name, func() bool { said = e.OK("logs", name); return said != "" })
		if wrong := elsewhere(e, said, id); wrong != "" {
			t.Errorf("%s began in %s", name, wrong)
		}
		if strings.HasSuffix(name, "7") {
			if wrong := elsewhere(e, e.OK("exec", name, "cat", "/proc/self/cgroup"), id); wrong != "" {
				t.Errorf("an exec in %s is in %s", name, wrong)
			}
		}
	}
	e.OK(append([]string{"rm", "-f"}, strings.Fields(e.OK("ps", "-aq"))...)...)
}

// The limits hold for the very first program, and are counted from before it.
func TestLimitsFromTheFirst(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--pids-limit", "1", "busybox", "true"}, ""},
		{[]string{"--pids-limit", "1", "-t", "busybox", "echo", "terminal"}, "terminal"},
		{[]string{"--cpuset-cpus", "0", "busybox", "grep", "Cpus_allowed_list", "/proc/self/status"}, "Cpus_allowed_list:\t0"},
	} {
		if got := e.OK(append([]string{"run", "--rm"}, c.args...)...); got != c.want {
			t.Errorf("%v: %q, not %q", c.args, got, c.want)
		}
	}
	if r := e.Berth("run", "--rm", "--pids-limit", "1", "busybox", "sh", "-c", "(true); true"); !strings.Contains(r.Err, "can't fork") {
		t.Errorf("a second process with --pids-limit 1: %+v", r)
	}
	counted := `for f in /sys/fs/cgroup/memory/memory.usage_in_bytes /sys/fs/cgroup/memory.current /sys/fs/cgroup/pids/pids.current /sys/fs/cgroup/pids.current; do [ ! -e $f ] || read n <$f && [ "$n" -gt 0 ] || echo "$f: $n"; n=1; done`
	if got := e.OK("run", "--rm", "--memory", "64m", "--pids-limit", "5", "busybox", "sh", "-c", "n=1; "+counted); got != "" {
		t.Errorf("not counted: %s", got)
	}
}
