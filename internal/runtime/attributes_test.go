package runtime_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/runtime"
)

// temporary is a file of t's own that says text.
func temporary(t testing.TB, text string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

const showDescriptors = `for i in 0 1 2 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$i && echo -n $i; done; echo; test $LISTEN_PID = $$ && echo mine; cat <&3; cat <&5; echo $LISTEN_FDS $LISTEN_PID`

func TestPreservedDescriptors(t *testing.T) {
	extra := []*os.File{temporary(t, "three\n"), nil, temporary(t, "five\n")}
	s := spec("sh", "-c", showDescriptors)
	s.Process.Env = append(s.Process.Env, "LISTEN_FDS=9", "LISTEN_PID=9")
	out, code, err := runOptions(t, runtime.CreateOptions{ID: "test", Spec: s, Rootfs: rootfs(t), ExtraFiles: extra, ListenFDs: 1})
	if err != nil || code != 0 {
		t.Fatal(out, code, err)
	}
	if out != "01235\nmine\nthree\nfive\n1 1\n" {
		t.Errorf("%q", out)
	}
	for _, f := range extra {
		if f != nil {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := newRuntime(t)
	c, s := sleeper(t, r, nil)
	p := *s.Process
	p.Args = []string{"sh", "-c", showDescriptors}
	stdout := newOutput(t)
	proc, err := r.Exec(bounded(t), runtime.ExecOptions{Pid: c.Pid, Spec: s, Process: &p, Stdio: [3]*os.File{nil, stdout.w, stdout.w}, ExtraFiles: extra, ListenFDs: 3})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, proc.Pid)
	proc.Pidfd.Close()
	if out := stdout.String(); !strings.HasPrefix(out, "01235\nmine\nthree\nfive\n3 ") {
		t.Errorf("exec: %q", out)
	}
}

// show prints what a process got; the fields of /proc/PID/stat from 40 on.
const show = `cut -d' ' -f18,19,40,41 /proc/self/stat; cat /proc/self/personality; grep Cpus_allowed_list /proc/self/status; grep -o '^[0-9a-f]* [a-z=:0-9-]*' /proc/self/numa_maps | head -1 | cut -d' ' -f2; ionice`

func attributed(s *specs.Spec) {
	s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 7}
	s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
	s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0-7", Final: "0"}
	s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"}
	s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
}

func TestAttributes(t *testing.T) {
	s := spec("sh", "-c", show)
	attributed(s)
	// The first process's processors are its cgroup's.
	allowed := allowedProcessors(t)
	want := "27 7 0 3\n00000008\nCpus_allowed_list:\t%s\nbind:0\nbest-effort: prio 6"
	if out := must(t, s, rootfs(t)); out != fmt.Sprintf(want, allowed) {
		t.Errorf("%q", out)
	}
	r := newRuntime(t)
	c, s := sleeper(t, r, attributed)
	out, code, err := execIn(t, r, c, s, nil, "sh", "-c", show)
	if err != nil || code != 0 || strings.TrimSpace(out) != fmt.Sprintf(want, "0") {
		t.Errorf("exec: %q, %d, %v", out, code, err)
	}
	initial := func(p *specs.Process) { p.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0"} }
	if out, _, err := execIn(t, r, c, s, initial, "grep", "Cpus_allowed_list", "/proc/self/status"); err != nil || out != "Cpus_allowed_list:\t0\n" {
		t.Errorf("exec that begins on processor 0: %q, %v", out, err)
	}
	if after := allowedProcessors(t); after != allowed {
		t.Errorf("the caller ran on processors %s, now on %s", allowed, after)
	}
}

func TestRealTime(t *testing.T) {
	s := spec("sh", "-c", "cut -d' ' -f40,41 /proc/self/stat")
	s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedRR, Priority: 3}
	out, _, err := run(t, s, rootfs(t))
	if err != nil && strings.Contains(err.Error(), "set process.scheduler: operation not permitted") {
		t.Skip("this host gives its cgroup no real time")
	}
	if err != nil || out != "3 2\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func allowedProcessors(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "Cpus_allowed_list:\t")
	list, _, _ := strings.Cut(rest, "\n")
	return list
}

func TestIntelRdtWithoutResctrl(t *testing.T) {
	if _, err := os.Stat("/sys/fs/resctrl/schemata"); err == nil {
		t.Skip("this host has a resctrl")
	}
	s := spec("true")
	s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "gold"}
	if _, _, err := run(t, s, rootfs(t)); err == nil || !strings.Contains(err.Error(), "linux.intelRdt needs a resctrl file system") {
		t.Error(err)
	}
}
