package conformance

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func formatHex(n uint64) string  { return strconv.FormatUint(n, 16) }
func formatUint(n uint64) string { return strconv.FormatUint(n, 10) }

// unified says whether the host has cgroup v2 alone.
func unified() bool {
	var st unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// sleeper starts a process that lives until the test's end in new namespaces.
func (b *bundle) sleeper(flags uintptr, mappings ...syscall.SysProcIDMap) int {
	b.t.Helper()
	cmd := exec.Command("/bin/busybox", "sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, UidMappings: mappings, GidMappings: mappings, Pdeathsig: syscall.SIGKILL}
	b.must(cmd.Start())
	b.undo(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

func own(namespace string) string {
	link, _ := os.Readlink("/proc/self/ns/" + namespace)
	return link
}

func owner(t *testing.T, path string) int {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	return int(st.Uid)
}
