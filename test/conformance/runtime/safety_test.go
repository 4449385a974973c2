package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// What the caller has and the container was not given stays outside: variables,
// groups, descriptors (CVE-2024-21626).
func TestNothingOfTheCallerLeaks(t *testing.T) {
	b := newBundle(t, "/probe", "hold")
	b.save()
	b.ids = append(b.ids, b.id)
	leak := func(args ...string) result {
		cmd := b.prepare(args...)
		cmd.Env = append(os.Environ(), "SECRET=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{4, 27, 12345}}}
		secret, err := os.Open("/etc")
		b.must(err)
		defer secret.Close()
		// Package os/exec gives it to the runtime as an inheritable descriptor.
		cmd.ExtraFiles = []*os.File{secret}
		r := b.do(cmd)
		if r.code != 0 {
			t.Fatalf("%v: exit %d: %s", args, r.code, r.err)
		}
		return r
	}
	created := leak("create", b.id)
	b.ok("start", b.id)
	for name, text := range map[string]string{"the first process": b.line(created), "exec": leak("exec", b.id, "/probe").out} {
		r := b.report(text)
		if v, ok := r.Getenv("SECRET"); ok {
			t.Errorf("%s has $SECRET, %q", name, v)
		}
		if len(r.Groups) > 0 {
			t.Errorf("%s has groups %v", name, r.Groups)
		}
		for fd, what := range r.Fds {
			if fd > 2 {
				t.Errorf("%s has descriptor %d, %s", name, fd, what)
			}
		}
	}
}

// A working directory must not lead through a descriptor to the host
// (CVE-2024-21626).
func TestWorkingDirectoryOutside(t *testing.T) {
	for _, dir := range []string{"/proc/self/fd/3", "/proc/self/fd/7", "/proc/self/fd/8/../../..", "/proc/1/cwd", "/link"} {
		b := newBundle(t, "/probe")
		b.must(os.Symlink("/proc/self/fd/7", filepath.Join(b.rootfs, "link")))
		b.spec.Process.Cwd = dir
		b.fails("chdir to cwd|working directory")
	}
	b := newBundle(t, "/probe", "hold")
	b.start()
	for _, dir := range []string{"/proc/self/fd/5", "/proc/self/fd/6", "/proc/self/fd/7"} {
		b.refused("chdir to cwd|working directory", "exec", "--cwd", dir, b.id, "/probe")
	}
}

// The runtime's binary is nothing that a container could write to, by whatever
// way it gets at it (CVE-2019-5736).
func TestRuntimeBinaryStaysAsItIs(t *testing.T) {
	bin := harness.Bin(t, "berth-init")
	before, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	// A watcher in the container tries to write to whatever a process executes.
	watcher := `echo watching; while :; do for p in /proc/[0-9]*; do
[ $p = /proc/$$ ] || (echo overwritten > $p/exe) 2>/dev/null; done; done`
	b := newBundle(t, "/bin/sh", "-c", watcher)
	b.must(os.WriteFile(filepath.Join(b.rootfs, "bin/evil"), []byte("#!/proc/self/exe\n"), 0o755))
	b.must(os.Symlink("/proc/self/exe", filepath.Join(b.rootfs, "bin/me")))
	r := b.start()
	b.line(r)
	for range 5 {
		b.exec("/bin/evil")
		b.exec("/bin/me")
		b.exec("/proc/self/exe", "-c", "exit")
	}
	after, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) || strings.HasPrefix(string(after), "overwritten") {
		t.Error("a container has changed berth-init")
	}
}
