// Package vm runs Berth in a virtual machine with Debian's own kernel: cgroup v2
// only, as users have it, and another kernel than the one the other tests see.
// The processor is emulated, so nothing here is timed.
package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// check is one command inside the machine and what it must print.
type check struct {
	name, command, want string
}

var checks = slices.Concat([]check{
	{"cgroup v2 only", "grep -c 'cgroup2' /proc/mounts; grep -c ' cgroup ' /proc/mounts", "1\n0"},
	{"run", "berth run --rm busybox echo hi", "hi"},
	{"exit code", "berth run --rm busybox sh -c 'exit 42'; echo $?", "42"},
	{"missing command", "berth run --rm busybox nosuch 2>&1; echo $?", "127"},
	{"own cgroup namespace", "berth run --rm busybox cat /proc/self/cgroup", "0::/\n"},
	{"cgroup mount", "berth run --rm busybox grep cgroup2 /proc/mounts", "/sys/fs/cgroup cgroup2 ro"},
	{"memory", "berth run --rm -m 64m busybox cat /sys/fs/cgroup/memory.max", "67108864"},
	{"swap", "berth run --rm -m 64m --memory-swap 64m busybox cat /sys/fs/cgroup/memory.swap.max", "0"},
	{"cpus", "berth run --rm --cpus 0.5 busybox cat /sys/fs/cgroup/cpu.max", "50000 100000"},
	{"cpu shares", "berth run --rm --cpu-shares 1024 busybox cat /sys/fs/cgroup/cpu.weight", "100\n"},
	{"cpuset", "berth run --rm --cpuset-cpus 0 busybox cat /sys/fs/cgroup/cpuset.cpus", "0"},
	{"pids", "berth run --rm --pids-limit 77 busybox cat /sys/fs/cgroup/pids.max", "77"},
	{"device allowed", "berth run --rm busybox sh -c 'head -c 3 /dev/zero | wc -c'", "3"},
	{"device refused", "berth run --rm --cap-add MKNOD busybox sh -c 'mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem' 2>&1", "not permitted"},
	{"device added", "berth run --rm --device /dev/kmsg busybox test -c /dev/kmsg && echo there", "there"},
	{"out of memory", "berth run --name hog -m 16m --memory-swap 16m busybox sh -c 'x=a; while :; do x=$x$x; done'; echo $?; berth inspect -f '{{.State.OOMKilled}}' hog", "137\ntrue"},
	{"detached with a port", "berth run -d --name web -p 8080:80 busybox httpd -f -h /www && for i in 1 2 3 4 5 6 7 8 9 10; do wget -qO- http://127.0.0.1:8080/ && break; sleep 1; done", "hello from a container"},
	{"exec", "berth exec web sh -c 'cat /proc/self/cgroup; echo in'", "0::/\nin"},
	{"pause", "berth pause web && berth inspect -f '{{.State.Status}}' web && berth unpause web && berth inspect -f '{{.State.Status}}' web", "paused\nweb\nrunning"},
	{"the engine is killed", "kill -9 $(cat /run/berthd.pid); start_engine; berth exec web echo still there", "still there"},
	{"the shim is killed", "kill -9 $(pidof berth-shim); sleep 2; berth inspect -f '{{.State.Status}}' web; berth exec web echo and again", "running\nand again"},
	{"read-only recursive masks", "berth run --rm busybox sh -c 'echo 1 > /proc/sys/kernel/panic' 2>&1", "Read-only"},
	{"remove all", "berth rm -f web hog >/dev/null; ls -d /sys/fs/cgroup/berth/*/ 2>/dev/null | wc -l", "0"},
	{"OCI runtime", "mkdir -p /b && cd /b && ln -sfn /image rootfs && berth-runtime spec && sed -i 's/\"terminal\": true/\"terminal\": false/; s/\"sh\"/\"id\"/' config.json && berth-runtime run one", "uid=0"},
	{"1 MiB of memory", "cd /b && sed 's/\"devices\": \\[/\"memory\": {\"limit\": 1048576}, &/; s/\"id\"/\"true\"/' config.json > c && grep -c 1048576 c && mv c config.json && berth-runtime run two && echo ran", "1\nran"},
}, checkpointChecks)

// patience ends a machine that hangs. It takes two minutes where it has a processor
// to itself.
const patience = 15 * time.Minute

// The machines are two, as most hosts have two processors at least. Each has one: an
// emulated second one costs more than it brings.
func TestMachine(t *testing.T) {
	kernel := os.Getenv("BERTH_KERNEL")
	if kernel == "" {
		t.Fatal("BERTH_KERNEL must name a folder made by hack/kernel (make test and make vm do it)")
	}
	initrd := makeInitrd(t, kernel, t.TempDir())
	for _, machine := range []string{engineMachine, runtimeMachine} {
		t.Run(machine, func(t *testing.T) {
			t.Parallel()
			out := boot(t, filepath.Join(kernel, "vmlinuz"), initrd, machine)
			if machine == engineMachine {
				testEngine(t, out)
			}
			for _, s := range suites {
				if s.machine != machine {
					continue
				}
				t.Run(s.name, func(t *testing.T) {
					text, _ := section(out, s.name)
					s.judge(t, text)
				})
			}
		})
	}
}

func testEngine(t *testing.T, out string) {
	for i, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			got, done := section(out, fmt.Sprint(i))
			if !done {
				t.Fatalf("the machine did not get here; its last words:\n%s", tail(out))
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("%s\nprints %q\nwant   %q", c.command, got, c.want)
			}
		})
	}
	if t.Failed() {
		log, _ := section(out, engineLog)
		t.Logf("the engine's log:\n%s", log)
	}
}

// section cuts what one check or suite printed out of the console's output; done
// says that it came to its end.
func section(out, name string) (text string, done bool) {
	_, rest, _ := strings.Cut(out, "<<<"+name+"\n")
	text, _, done = strings.Cut(rest, ">>>"+name+"\n")
	return text, done
}

func tail(out string) string { return out[max(0, len(out)-3000):] }

// boot runs a machine until it ends itself and returns what its console shows.
func boot(t *testing.T, kernel, initrd, machine string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-M", "microvm,acpi=off", "-accel", "tcg", "-cpu", "max,la57=off",
		"-m", "1536", "-kernel", kernel, "-initrd", initrd, "-nographic", "-no-reboot",
		// The kernel's own messages would stand in the middle of the tests'.
		"-append", "console=ttyS0 panic=-1 reboot=t loglevel=1 mitigations=off cgroup_no_v1=all machine="+machine)
	cmd.Stdin = bytes.NewReader(nil)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("qemu: %v", errors.Join(err, ctx.Err()))
	}
	return strings.ReplaceAll(string(out), "\r\n", "\n")
}
