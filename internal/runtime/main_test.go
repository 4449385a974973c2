package runtime_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/runtime"
	"github.com/berth-containers/berth/internal/sys/cgroup"
)

var (
	initBinary string
	layer      string // a root file system made of busybox
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if os.Getenv(ownMounts) == "" {
		return inOwnMounts()
	}
	dir, err := os.MkdirTemp("", "berth-runtime-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	initBinary, layer = filepath.Join(dir, "berth-init"), filepath.Join(dir, "layer")
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "prepare:", err)
		return 1
	}
	code := m.Run()
	if err := cgroup.Open(fmt.Sprintf("/berth-test-%d", os.Getpid())).Remove(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "remove the tests' cgroup:", err)
		code = max(code, 1)
	}
	return code
}

// ownMounts tells the process that runs the tests from the one that started it.
const ownMounts = "BERTH_TEST_OWN_MOUNTS"

// inOwnMounts runs the tests in a mount namespace of their own: what they mount
// is nobody else's business.
func inOwnMounts() int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), ownMounts+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	goruntime.LockOSThread() // the signal is for the thread's end
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

func prepare() error {
	if err := buildInit(); err != nil {
		return err
	}
	for _, d := range []string{"bin", "etc", "proc", "sys", "dev", "tmp", "root", "locked"} {
		if err := os.MkdirAll(filepath.Join(layer, d), 0o755); err != nil {
			return err
		}
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return fmt.Errorf("install busybox-static: %w", err)
	}
	if err := os.WriteFile(filepath.Join(layer, "bin/busybox"), busybox, 0o755); err != nil {
		return err
	}
	for _, name := range strings.Fields("sh cat true false ls id stat cut ionice mount sleep echo mkdir touch hostname tty stty env pwd ps kill readlink dd sysctl ulimit umask test grep head wc rm mknod unshare") {
		if err := os.Symlink("busybox", filepath.Join(layer, "bin", name)); err != nil {
			return err
		}
	}
	files := map[string]string{
		"etc/passwd":    "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/tmp:/bin/sh\n",
		"etc/group":     "root:x:0:\nweb:x:34:\nlogs:x:40:web\n",
		"bin/plain":     "not a program\n",
		"bin/noexec":    "x",
		"locked/secret": "s",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(layer, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return os.Chmod(filepath.Join(layer, "bin/plain"), 0o755)
}

// buildInit makes the init, unless BERTH_BIN names a folder that has it.
func buildInit() error {
	if dir := os.Getenv("BERTH_BIN"); dir != "" {
		initBinary = filepath.Join(dir, "berth-init")
		return nil
	}
	build := exec.Command("go", "build", "-o", initBinary, "../../cmd/berth-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build berth-init: %w: %s", err, out)
	}
	return nil
}

// rootfs is a writable root file system of t's own.
func rootfs(t testing.TB) *oci.Rootfs {
	t.Helper()
	dir := t.TempDir()
	r := &oci.Rootfs{Lowers: []string{layer}, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
	for _, d := range []string{r.Upper, r.Work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

var defaultCaps = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"}

// spec is a container like Docker's.
func spec(args ...string) *specs.Spec {
	return &specs.Spec{
		Version: specs.Version,
		Process: &specs.Process{
			Args: args, Cwd: "/", Env: []string{"PATH=/bin:/locked"},
			Capabilities: &specs.LinuxCapabilities{Bounding: defaultCaps, Effective: defaultCaps, Permitted: defaultCaps},
		},
		Hostname: "box",
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		},
		Linux: &specs.Linux{
			Namespaces:    []specs.LinuxNamespace{{Type: "mount"}, {Type: "pid"}, {Type: "network"}, {Type: "ipc"}, {Type: "uts"}, {Type: "cgroup"}},
			MaskedPaths:   []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware", "/nowhere"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

func newRuntime(t testing.TB) *runtime.Runtime {
	t.Helper()
	r, err := runtime.New(initBinary)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// wait reaps pid and returns its code as a shell would.
func wait(t testing.TB, pid int) int {
	t.Helper()
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			t.Fatalf("wait for %d: %v", pid, err)
		}
		break
	}
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// output collects what is written to the file it returns.
type output struct {
	w    *os.File
	done chan struct{}
	b    bytes.Buffer
}

func newOutput(t testing.TB) *output {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	o := &output{w: w, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		defer r.Close()
		io.Copy(&o.b, r)
	}()
	return o
}

func (o *output) String() string {
	o.w.Close()
	<-o.done
	return o.b.String()
}

// cgroupPath is a cgroup of t's own.
func cgroupPath(t testing.TB) string {
	return fmt.Sprintf("/berth-test-%d/%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-"))
}

// run runs a container to its end.
func run(t testing.TB, s *specs.Spec, root *oci.Rootfs) (string, int, error) {
	t.Helper()
	return runOptions(t, runtime.CreateOptions{ID: "test", Spec: s, Rootfs: root})
}

func runOptions(t testing.TB, o runtime.CreateOptions) (string, int, error) {
	t.Helper()
	out := newOutput(t)
	o.Stdio = [3]*os.File{nil, out.w, out.w}
	r := newRuntime(t)
	c, err := r.Create(bounded(t), o)
	if err != nil {
		return out.String(), -1, err
	}
	if err := c.Start(); err != nil {
		return out.String(), -1, err
	}
	text, code := out.String(), wait(t, c.Pid)
	c.Pidfd.Close()
	if err := r.RemoveCgroup(c.CgroupPath); err != nil {
		t.Error(err)
	}
	return text, code, nil
}

// must runs a shell script in a container and returns what it wrote.
func must(t testing.TB, s *specs.Spec, root *oci.Rootfs) string {
	t.Helper()
	out, code, err := run(t, s, root)
	if err != nil || code != 0 {
		t.Fatalf("code %d, %v: %s", code, err, out)
	}
	return strings.TrimSpace(out)
}
