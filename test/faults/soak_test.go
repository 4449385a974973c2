package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/test/harness"
)

// soakLives is how many containers TestSoak makes; make soak sets it.
const soakLives = "BERTH_SOAK"

// Many containers, eight at a time, leave nothing behind in the kernel or below
// the root, and none of them fails.
func TestSoak(t *testing.T) {
	lives := 300
	if n, err := strconv.Atoi(os.Getenv(soakLives)); err == nil {
		lives = n
	}
	// What a create leaves to us must not go to the lab's first process.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	s := newSoak(t)
	s.live(0) // what is made once and kept
	before := s.kernel()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				s.live(i)
			}
		})
	}
	for i := range lives {
		next <- i + 1
	}
	close(next)
	wg.Wait()
	after := before
	if !harness.Await(func() bool { after = s.kernel(); return after.near(before, lives) }) {
		t.Errorf("before %d lives %+v, after them %+v", lives, before, after)
	}
	t.Logf("%d lives: before %+v, after %+v", lives, before, after)
	left, err := filepath.Glob(filepath.Join(s.root, "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left below the root: %v, %v", left, err)
	}
}

type soak struct {
	t         *testing.T
	dir, root string
	parent    string // of the cgroups
}

func newSoak(t *testing.T) *soak {
	dir := t.TempDir()
	s := &soak{t: t, dir: dir, root: filepath.Join(dir, "state"), parent: fmt.Sprintf("/berth-soak-%d", os.Getpid())}
	image, err := harness.BusyboxTar()
	if err != nil {
		t.Fatal(err)
	}
	rootfs := filepath.Join(dir, "rootfs")
	if err := os.Mkdir(rootfs, 0o755); err != nil {
		t.Fatal(err)
	}
	untar := exec.Command("tar", "-xC", rootfs)
	untar.Stdin = bytes.NewReader(image)
	if out, err := untar.CombinedOutput(); err != nil {
		t.Fatalf("unpack busybox: %v: %s", err, out)
	}
	t.Cleanup(func() {
		for _, root := range s.cgroups() {
			if err := os.Remove(root); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		}
	})
	return s
}

// bundle is the configuration of one container: all namespaces, a cgroup with
// limits, and the usual mounts.
func (s *soak) bundle(id string) string {
	pids, memory := int64(64), int64(64<<20)
	spec := specs.Spec{
		Version: "1.0.2", Hostname: id, Root: &specs.Root{Path: filepath.Join(s.dir, "rootfs"), Readonly: true},
		Process: &specs.Process{Args: []string{"sleep", "100000"}, Cwd: "/", Env: []string{"PATH=/bin"}},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue"},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"ro"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: s.parent + "/" + id,
			Resources:   &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &pids}, Memory: &specs.LinuxMemory{Limit: &memory}},
			Namespaces:  []specs.LinuxNamespace{{Type: "pid"}, {Type: "network"}, {Type: "ipc"}, {Type: "uts"}, {Type: "mount"}, {Type: "cgroup"}},
			MaskedPaths: []string{"/proc/kcore", "/sys/firmware"}, ReadonlyPaths: []string{"/proc/sys"},
		},
	}
	text, err := json.Marshal(spec)
	dir := filepath.Join(s.dir, id)
	if err = errors.Join(err, os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644)); err != nil {
		s.t.Error(err)
	}
	return dir
}

// live is one container from create to delete.
func (s *soak) live(n int) {
	id := fmt.Sprint("soak", n)
	bundle := s.bundle(id)
	defer os.RemoveAll(bundle)
	pidFile := filepath.Join(bundle, "pid")
	if !s.do("create", "--bundle", bundle, "--pid-file", pidFile, id) {
		return
	}
	s.do("start", id)
	s.do("kill", id, "KILL")
	text, err := os.ReadFile(pidFile)
	pid, convErr := strconv.Atoi(string(text))
	if err = errors.Join(err, convErr); err == nil {
		_, err = syscall.Wait4(pid, nil, 0, nil)
	}
	if err != nil {
		s.t.Errorf("%s: wait for %q: %v", id, text, err)
	}
	s.do("delete", id)
}

// do runs one command; its output is a file, since the container holds it open.
func (s *soak) do(args ...string) bool {
	out, err := os.CreateTemp(s.dir, "out")
	if err != nil {
		s.t.Error(err)
		return false
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := exec.Command(harness.Bin(s.t, "berth-runtime"), append([]string{"--root", s.root}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		s.t.Errorf("%v: %v: %s", args, err, text)
		return false
	}
	return true
}

// held is what a leak would make grow.
type held struct {
	files   int // of ours, which the runtimes inherit nothing from and pass nothing to
	mounts  int
	cgroups int
	slab    int // KiB that the kernel cannot give back
}

// near is whether now is like before. The kernel frees in the background, and
// everybody on the machine is in its memory: a leak would be one for each life.
func (now held) near(before held, lives int) bool {
	const each = 4 // KiB; a namespace is at least that
	return now.files == before.files && now.mounts == before.mounts && now.cgroups == before.cgroups && now.slab <= before.slab+max(16<<10, each*lives)
}

func (s *soak) kernel() held {
	runtime.GC()
	fds, _ := os.ReadDir("/proc/self/fd")
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		s.t.Error(err)
	}
	u := held{files: len(fds), mounts: bytes.Count(mounts, []byte("\n")), slab: s.slab()}
	for _, root := range s.cgroups() {
		list, _ := filepath.Glob(filepath.Join(root, "soak*"))
		u.cgroups += len(list)
	}
	return u
}

// cgroups are the parent's directories in all hierarchies.
func (s *soak) cgroups() []string {
	v1, err := filepath.Glob("/sys/fs/cgroup/*" + s.parent)
	if err != nil {
		s.t.Error(err)
	}
	return append(v1, "/sys/fs/cgroup"+s.parent)
}

func (s *soak) slab() int {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		s.t.Error(err)
	}
	_, after, _ := strings.Cut(string(text), "SUnreclaim:")
	n, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		s.t.Error(err)
	}
	return n
}
