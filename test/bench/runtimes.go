package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/test/harness"
)

// ociRuntime is one runtime's command line. All of them run in the same place,
// where crun takes the cgroups.
type ociRuntime struct{ *system }

// ociRuntimes are Berth's and the peers', and the bundle they share. A peer with
// a slash in its name is a folder with another build of Berth.
func ociRuntimes(work string, peers []string) ([]*system, error) {
	p, err := newPlace(forPodman)
	if err != nil {
		return nil, err
	}
	// What a create leaves to us must not go to the lab's first process.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	image, err := harness.BusyboxTar()
	if err != nil {
		return nil, err
	}
	rootfs := filepath.Join(work, "rootfs")
	if err := os.Mkdir(rootfs, 0o755); err != nil {
		return nil, err
	}
	untar := exec.Command("tar", "-xC", rootfs)
	untar.Stdin = bytes.NewReader(image)
	if out, err := untar.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("unpack busybox: %w: %s", err, out)
	}
	systems := []*system{{name: "berth"}}
	if systems[0].client, err = installed(os.Getenv("BERTH_BIN"), filepath.Join(work, "bin")); err != nil {
		return nil, err
	}
	for i, peer := range peers {
		s := &system{name: peer, client: []string{peer}}
		if strings.Contains(peer, "/") {
			s.name = fmt.Sprint("build", i)
			if s.client, err = installed(peer, filepath.Join(work, "bin"+s.name)); err != nil {
				return nil, err
			}
		}
		systems = append(systems, s)
	}
	for _, s := range systems {
		s.place, s.root = p, filepath.Join(work, s.name)
		s.client = append(s.client, "--root", filepath.Join(s.root, "state"))
		if err := os.Mkdir(s.root, 0o755); err != nil {
			return nil, err
		}
	}
	return systems, nil
}

// installed copies the binaries, as make install does it. What the linker has
// just written is in the page cache in small pieces, which makes each start a
// tenth slower.
func installed(from, to string) ([]string, error) {
	if err := os.Mkdir(to, 0o755); err != nil {
		return nil, err
	}
	for _, name := range []string{"berth-runtime", "berth-init"} {
		if out, err := exec.Command("cp", filepath.Join(from, name), to).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("copy the binaries: %w: %s", err, out)
		}
	}
	return []string{filepath.Join(to, "berth-runtime")}, nil
}

// bundle writes the configuration of a container with all namespaces that runs
// args, under a memory limit if that is not 0.
func (r ociRuntime) bundle(limit int64, args ...string) error {
	capabilities := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	quiet := []string{"nosuid", "noexec", "nodev"}
	with := func(more ...string) []string { return append(append([]string{}, quiet...), more...) }
	spec := specs.Spec{
		Version: "1.0.2", Hostname: "bench",
		Root: &specs.Root{Path: filepath.Join(filepath.Dir(r.root), "rootfs"), Readonly: true},
		Process: &specs.Process{Args: args, Cwd: "/", NoNewPrivileges: true, Env: []string{"PATH=/bin"},
			Capabilities: &specs.LinuxCapabilities{Bounding: capabilities, Permitted: capabilities, Effective: capabilities},
			Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}}},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: with("mode=1777", "size=65536k")},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: quiet},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: with("ro")},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: with("relatime", "ro")},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/" + r.id(), Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}},
			Namespaces:    []specs.LinuxNamespace{{Type: "pid"}, {Type: "network"}, {Type: "ipc"}, {Type: "uts"}, {Type: "mount"}, {Type: "cgroup"}},
			MaskedPaths:   []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	if limit != 0 {
		spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.root, "config.json"), text, 0o644)
}

func (r ociRuntime) id() string { return fmt.Sprintf("bench-%s-%d", r.name, os.Getpid()) }

// settle is what the kernel needs for what a step left to it, such as to take a
// network namespace down. Without it a runtime that does not wait for that pays
// for it in its next step, and one that moves processes between cgroups finds the
// kernel's lock for that still taken, and so does not wait for a grace period.
const settle = 50 * time.Millisecond

// life is a whole life in steps: run of true, and then create, start, exec and
// delete of what sleeps. Each has its time, and what the process and those that it
// waited for took of the processor and of pages, which the machine's other work
// changes less. Before each step is a pause.
func life(s *system, pause time.Duration) ([]float64, error) {
	r := ociRuntime{s}
	if err := r.bundle(0, "true"); err != nil {
		return nil, err
	}
	var took []float64
	step := func(args ...string) error {
		time.Sleep(pause)
		began := time.Now()
		used, err := r.quietly(args...)
		took = append(took, ms(time.Since(began)))
		if used != nil {
			took = append(took, ms(used.UserTime()+used.SystemTime()), float64(used.SysUsage().(*syscall.Rusage).Minflt))
		}
		return err
	}
	if err := step("run", "--bundle", r.root, r.id()); err != nil {
		return nil, err
	}
	if err := r.bundle(0, "sleep", "100000"); err != nil {
		return nil, err
	}
	pidFile := filepath.Join(r.root, "pid")
	if err := step("create", "--bundle", r.root, "--pid-file", pidFile, r.id()); err != nil {
		return nil, err
	}
	err := errors.Join(step("start", r.id()), step("exec", r.id(), "true"))
	_, killed := r.quietly("kill", r.id(), "KILL")
	err = errors.Join(err, killed, reap(pidFile))
	return took, errors.Join(err, step("delete", r.id()))
}

// quietly keeps no pipe open that the container's processes would hold.
func (r ociRuntime) quietly(args ...string) (*os.ProcessState, error) {
	argv := append(append([]string{}, r.client...), args...)
	log, err := os.Create(filepath.Join(r.root, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := r.place.run(cmd); err != nil {
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(text))
	}
	return cmd.ProcessState, nil
}

// reap waits for the orphan whose number is in the file.
func reap(pidFile string) error {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	// As with podman and containerd, the next container's file is new: to cut off
	// an old one may wait for the disk to discard its block.
	_, err = syscall.Wait4(pid, nil, 0, nil)
	return errors.Join(err, os.Remove(pidFile))
}

// peak is the largest process of a run, the container's own among them. A process
// begins with the peak of what forked it, so that must be small: busybox.
func peak(s *system) ([]float64, error) {
	r := ociRuntime{s}
	if err := r.bundle(0, "true"); err != nil {
		return nil, err
	}
	argv := append(append([]string{"time", "-v"}, s.client...), "run", "--bundle", s.root, r.id())
	cmd := exec.Command("busybox", argv...)
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := s.place.run(cmd); err != nil {
		return nil, fmt.Errorf("run under time: %w: %s", err, out.Bytes())
	}
	_, after, _ := strings.Cut(out.String(), "Maximum resident set size (kbytes): ")
	line, _, _ := strings.Cut(after, "\n")
	kib, err := strconv.ParseFloat(line, 64)
	// It takes the kernel's KiB for pages.
	return []float64{kib / float64(os.Getpagesize()/1024) / 1024}, err
}

// floor is the lowest memory limit under which true runs, in KiB, found by
// bisection.
func floor(s *system) ([]float64, error) {
	r := ociRuntime{s}
	low, high := int64(0), int64(64<<10) // KiB: too little, enough
	for high-low > 64 {
		middle := (low + high) / 2
		if err := r.bundle(middle<<10, "true"); err != nil {
			return nil, err
		}
		if _, err := r.quietly("run", "--bundle", s.root, r.id()); err == nil {
			high = middle
			continue
		}
		low = middle
		_, _ = r.quietly("delete", "--force", r.id()) // if it got as far as that
	}
	return []float64{float64(high)}, nil
}

func runtimeRows() []row {
	return []row{
		{steps("runtime: "), 0, func(s *system) ([]float64, error) { return life(s, settle) }},
		{steps("runtime, no pause: "), 0, func(s *system) ([]float64, error) { return life(s, 0) }},
		{[]line{{"runtime: peak memory of a run", "MiB"}}, 3, peak},
		{[]line{{"runtime: lowest memory limit", "KiB"}}, 1, floor},
	}
}

// steps are the lines of a life.
func steps(prefix string) (lines []line) {
	for _, name := range []string{"run", "create", "start", "exec", "delete"} {
		name = prefix + name
		lines = append(lines, line{name, "ms"}, line{name + ", processor", "ms"}, line{name + ", page faults", ""})
	}
	return lines
}
