package runtime

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/leanjson"
	"github.com/berth-containers/berth/internal/sys/cgroup"
	"github.com/berth-containers/berth/internal/sys/mount"
	"github.com/berth-containers/berth/internal/sys/seccomp"
)

// maxFilters bounds the cache of compiled seccomp profiles: there is one in
// most engines, and a few with --security-opt.
const maxFilters = 16

// Runtime makes containers. It is safe for concurrent use.
type Runtime struct {
	init   *os.File
	null   func() *os.File // the null device, where its owner and mode cannot be changed; nil if it cannot be had
	cgroup cgroup.Mode

	mu      sync.Mutex
	filters map[string]*seccomp.Filter // by the profile as text
}

// New opens the init binary. From here on the process is not dumpable, since it
// enters containers for the moment of a fork.
func New(initBinary string) (*Runtime, error) {
	init, err := mount.ReadOnlyFile(initBinary)
	if err != nil {
		return nil, fmt.Errorf("open the container init %s: %w", initBinary, err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("protect the runtime: %w", err)
	}
	return &Runtime{init: init, null: sync.OnceValue(readOnlyNull), cgroup: cgroup.Detect(), filters: map[string]*seccomp.Filter{}}, nil
}

// Close closes what New opened; containers are not touched.
func (r *Runtime) Close() error {
	return r.init.Close()
}

// readOnlyNull opens the null device, for the life of the process; nil without
// the right to mount.
func readOnlyNull() *os.File {
	fd, err := mount.ReadOnlyNull()
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	return f
}

// harmless takes r.null in place of the host's null device: through that root in
// a container could change the host's node.
func (r *Runtime) harmless(f *os.File) *os.File {
	if f == nil {
		return nil
	}
	var st unix.Stat_t
	if unix.Fstat(int(rawFd(f)), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3) {
		if null := r.null(); null != nil {
			return null
		}
	}
	return f
}

// RemoveCgroup kills what is left in a container's cgroup and removes it. One
// that is gone is no error.
func (r *Runtime) RemoveCgroup(path string) error {
	if path == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
	defer cancel()
	if err := cgroup.Open(path).Remove(ctx); err != nil {
		return fmt.Errorf("remove cgroup %s: %w", path, err)
	}
	return nil
}

// OOMKilled is whether the kernel killed a process of the cgroup for memory.
func OOMKilled(cgroupPath string) (bool, error) {
	if cgroupPath == "" {
		return false, nil
	}
	return cgroup.Open(cgroupPath).OOMKilled()
}

// Pause freezes every process of the cgroup.
func Pause(cgroupPath string) error {
	if cgroupPath == "" {
		return errdefs.ErrFailedPrecondition.WithMessage("a container without a cgroup of its own cannot be paused")
	}
	return cgroup.Open(cgroupPath).Freeze()
}

// Resume is the opposite of Pause.
func Resume(cgroupPath string) error {
	if cgroupPath == "" {
		return nil
	}
	return cgroup.Open(cgroupPath).Thaw()
}

// filter compiles a seccomp profile, once for each.
func (r *Runtime) filter(profile *specs.LinuxSeccomp) (*seccomp.Filter, error) {
	if profile == nil {
		return nil, nil
	}
	text, err := leanjson.Marshal(profile)
	if err != nil {
		return nil, fmt.Errorf("read the seccomp profile: %w", err)
	}
	key := string(text)
	r.mu.Lock()
	f := r.filters[key]
	r.mu.Unlock()
	if f != nil {
		return f, nil
	}
	compiled, err := seccomp.Compile(profile)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("seccomp profile: " + err.Error())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.filters) >= maxFilters {
		clear(r.filters)
	}
	r.filters[key] = &compiled
	return &compiled, nil
}
