package conformance

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/test/harness"
)

// --no-new-keyring: the program is in the caller's session keyring; without, it is
// in one of its own, and so is each exec.
func TestNoNewKeyring(t *testing.T) {
	// Keyrings are a thread's. This one ends with the test.
	runtime.LockOSThread()
	own, err := unix.KeyctlJoinSessionKeyring("berth-conformance")
	if err != nil {
		t.Fatal(err)
	}
	b := newBundle(t)
	if r := b.looks("--no-new-keyring"); r.Keyring != own {
		t.Errorf("with --no-new-keyring the keyring is %d, want the caller's, %d", r.Keyring, own)
	}
	b = newBundle(t)
	if r := b.looks(); r.Keyring == own {
		t.Error("the keyring is the caller's")
	}
}

// exec --apparmor and --process-label reach the kernel, or the error names what the
// host lacks.
func TestExecLabels(t *testing.T) {
	b := newBundle(t, "/probe", "hold")
	b.holds()
	if strings.TrimSpace(read("/sys/module/apparmor/parameters/enabled")) == "Y" {
		b.refused("no-such-profile", "exec", "--apparmor", "no-such-profile", b.id, "/bin/true")
	} else {
		b.refused("process.apparmorProfile.*AppArmor", "exec", "--apparmor", "no-such-profile", b.id, "/bin/true")
	}
	b.refused("process.selinuxLabel", "exec", "--process-label", "no:such:label", b.id, "/bin/true")
	if e := b.exec("/bin/echo", "fine"); e.out != "fine\n" {
		t.Errorf("exec without labels: %+v", e)
	}
}

// exec in a paused container is an error; with --ignore-paused the process is made
// and runs once the container does.
func TestIgnorePaused(t *testing.T) {
	b := newBundle(t, "/probe", "hold")
	b.holds()
	b.ok("pause", b.id)
	b.refused("paused", "exec", b.id, "/bin/true")
	cmd := b.prepare("exec", "--ignore-paused", b.id, "/bin/echo", "late")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	b.must(cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	if !harness.Await(func() bool { return len(b.pids()) > 1 }) {
		t.Error("no process of exec --ignore-paused enters the cgroup")
	}
	select {
	case err := <-done:
		t.Fatalf("exec --ignore-paused ends before resume: %v, %q", err, out.String())
	default:
	}
	b.ok("resume", b.id)
	// The command's own context bounds the wait.
	if err := <-done; err != nil || out.String() != "late\n" {
		t.Errorf("exec --ignore-paused: %v, %q", err, out.String())
	}
}

// pids are the container's processes, as ps says.
func (b *bundle) pids() (pids []int) {
	b.t.Helper()
	b.must(json.Unmarshal([]byte(b.ok("ps", "--format", "json", b.id).out), &pids))
	return pids
}
