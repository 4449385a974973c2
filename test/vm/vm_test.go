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
	{"the tests of cgroup", "cd /tmp && cgroup.test -test.v > out 2>&1; code=$?; grep -E -B 5 -e '^ *--- (FAIL|SKIP)' -e ^panic out; echo code $code", "code 0\n"},
	// Linux 6.1 has no ID maps on tmpfs.
	{"the tests of mounts on ext4", "modprobe brd rd_nr=1 rd_size=409600 && mke2fs /dev/ram0 > /dev/null && mkdir /disk && mount -t ext4 /dev/ram0 /disk && cd /disk; " +
		"TMPDIR=/disk BERTH_BIN=/bin runtime.test -test.v -test.run 'HostRootfs|Mount|Propagation|KeepsFlags|Filesystems|Failures|Pivot' > out 2>&1; code=$?; " +
		"grep -E -B 5 -e '^ *--- (FAIL|SKIP)' -e ^panic out; grep -o 'PASS: TestIDMappedMount' out; cd /; umount /disk; echo code $code", "PASS: TestIDMappedMount\ncode 0\n"},
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

const patience = 15 * time.Minute

func TestMachine(t *testing.T) {
	kernel := os.Getenv("BERTH_KERNEL")
	if kernel == "" {
		t.Fatal("BERTH_KERNEL must name a folder made by hack/kernel (make test and make vm do it)")
	}
	work := t.TempDir()
	initrd := makeInitrd(t, kernel, work)
	out := boot(t, filepath.Join(kernel, "vmlinuz"), initrd)
	for i, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			got, ok := section(out, i)
			if !ok {
				t.Fatalf("the machine did not get here; its last words:\n%s", out[max(0, len(out)-3000):])
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("%s\nprints %q\nwant   %q", c.command, got, c.want)
			}
		})
	}
	if t.Failed() {
		log, _ := section(out, len(checks))
		t.Logf("the engine's log:\n%s", log)
	}
}

// section cuts one check's output out of the console's.
func section(out string, i int) (string, bool) {
	_, rest, ok := strings.Cut(out, fmt.Sprintf("<<<%d\n", i))
	if !ok {
		return "", false
	}
	text, _, ok := strings.Cut(rest, fmt.Sprintf(">>>%d\n", i))
	return text, ok
}

func boot(t *testing.T, kernel, initrd string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-M", "microvm,acpi=off", "-accel", "tcg", "-cpu", "max",
		"-m", "1536", "-smp", "2", "-kernel", kernel, "-initrd", initrd, "-nographic", "-no-reboot",
		"-append", "console=ttyS0 panic=-1 reboot=t quiet cgroup_no_v1=all")
	cmd.Stdin = bytes.NewReader(nil)
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Logf("qemu: %v", err)
	}
	return strings.ReplaceAll(string(out), "\r\n", "\n")
}
