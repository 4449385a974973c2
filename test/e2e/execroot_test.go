package e2e

import (
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// An exec sees the file system of its container, whatever namespaces that shares.
func TestExecRoot(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	e.OK("run", "-d", "--name", "target", "busybox", "sleep", "1000")
	for name, args := range map[string][]string{
		"plain":      nil,
		"pidhost":    {"--pid", "host"},
		"pidother":   {"--pid", "container:target"},
		"privileged": {"--privileged"},
		"readonly":   {"--read-only"},
		"netother":   {"--network", "container:target"},
		"user":       {"--user", "1000"},
	} {
		e.OK(append(append([]string{"run", "-d", "--name", name}, args...), "busybox", "sh", "-c", "echo $HOSTNAME; exec sleep 1000")...)
		for _, options := range [][]string{nil, {"-t"}, {"-w", "/www"}} {
			exec := append(append([]string{"exec"}, options...), name)
			if got := e.OK(append(exec, "cat", "/www/index.html")...); got != "hello from a container" {
				t.Errorf("%v: %q", exec, got)
			}
			if got := e.OK(append(exec, "sh", "-c", "ls -di / /.. | cut -d/ -f1 | uniq | wc -l")...); got != "1" {
				t.Errorf("%v: the root is not its own parent", exec)
			}
		}
		if r := e.Berth("exec", name, "cat", "/etc/debian_version"); r.Code == 0 {
			t.Errorf("exec in %s reads the host's files: %q", name, r.Out)
		}
		if got := e.OK("exec", name, "pwd"); got != "/" {
			t.Errorf("%s: working directory %q", name, got)
		}
	}
	if r := e.Berth("exec", "readonly", "touch", "/file"); r.Code == 0 || !strings.Contains(r.Err, "Read-only file system") {
		t.Errorf("a read-only root: %+v", r)
	}
	e.OK("exec", "privileged", "touch", "/file")
}

// An exec in a container of the image host has its copy-on-write view, not the host.
func TestExecRootOfHostImage(t *testing.T) {
	e := harness.New(t)
	e.OK("run", "-d", "--name", "box", "host", "sh", "-c", "echo container > /berth-exec-root; exec sleep 1000")
	harness.Eventually(t, "the file", func() bool { return e.Berth("exec", "box", "cat", "/berth-exec-root").Out == "container\n" })
	if got := e.OK("exec", "-t", "box", "cat", "/berth-exec-root"); got != "container" {
		t.Errorf("exec: %q", got)
	}
}

// A first process that has another root of its own does not take others with it.
func TestExecAfterChroot(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	e.OK("run", "-d", "--name", "box", "busybox", "sh", "-c",
		"mkdir -p /inner/bin && cp /bin/busybox /inner/bin/sleep && exec chroot /inner sleep 1000")
	harness.Eventually(t, "the other root", func() bool { return strings.HasSuffix(e.OK("exec", "box", "readlink", "/proc/1/root"), "/inner") })
	if got := e.OK("exec", "box", "cat", "/www/index.html"); got != "hello from a container" {
		t.Errorf("exec: %q", got)
	}
}
