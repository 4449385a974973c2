package cgroup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/cgroup/kernfs"
	"github.com/berth-containers/berth/internal/sys/cgroup/stats"
)

// Stats reads what the group has used.
func (g *Group) Stats() (stats.Stats, error) {
	if g.layout.mode == None {
		return stats.Stats{}, g.layout.missing()
	}
	if !g.exists() {
		return stats.Stats{}, errdefs.ErrNotFound.WithMessage("there is no cgroup " + g.path)
	}
	if h, ok := g.layout.unified(); ok && g.layout.mode == V2 {
		return stats.V2(h.dir(g.path))
	}
	return stats.V1(func(controller string) (string, bool) {
		h, ok := g.layout.find(controller)
		return h.dir(g.path), ok
	})
}

// WatchOOM calls event for each time that the group was out of memory. It
// returns nil when nobody is left in the group or it is gone, and ctx's error
// when that ends first.
func (g *Group) WatchOOM(ctx context.Context, event func()) error {
	h, ok := g.layout.find("memory")
	if !ok {
		return errdefs.ErrFailedPrecondition.WithMessage("the memory cgroup is not mounted, so that nothing tells when memory is out")
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch for out of memory: %w", err)
	}
	w := watch{group: g, fds: []unix.PollFd{{Fd: int32(wake), Events: unix.POLLIN}}, event: event}
	defer w.close()
	// The wait below has no context: this ends it.
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_, _ = unix.Write(wake, binary.NativeEndian.AppendUint64(nil, 1))
	})
	defer func() {
		if !stop() {
			<-woken
		}
	}()
	if h.unified {
		err = w.openV2(h.dir(g.path))
	} else {
		err = w.openV1(h.dir(g.path))
	}
	if kernfs.Gone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("watch for out of memory: %w", err)
	}
	return w.run(ctx)
}

// watch is one call of WatchOOM. The first descriptor ends it, the second tells
// of memory, the third, if there is one, when the group becomes empty.
type watch struct {
	group *Group
	fds   []unix.PollFd
	files []*os.File
	event func()

	memoryEvents string // v2
	seen         uint64
	populated    string
}

const (
	fdWake = iota
	fdMemory
	fdPopulated
)

func (w *watch) close() {
	for _, f := range w.files {
		f.Close()
	}
	unix.Close(int(w.fds[fdWake].Fd))
}

// openV1 registers an eventfd at memory.oom_control.
func (w *watch) openV1(dir string) error {
	efd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return err
	}
	w.files = append(w.files, os.NewFile(uintptr(efd), "eventfd"))
	w.fds = append(w.fds, unix.PollFd{Fd: int32(efd), Events: unix.POLLIN})
	control, err := unix.Open(filepath.Join(dir, "memory.oom_control"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(control)
	if err := kernfs.Write(filepath.Join(dir, "cgroup.event_control"), fmt.Sprintf("%d %d", efd, control)); err != nil {
		return err
	}
	if h, ok := w.group.layout.unified(); ok {
		return w.openPopulated(h.dir(w.group.path))
	}
	return nil
}

func (w *watch) openV2(dir string) error {
	w.memoryEvents = filepath.Join(dir, "memory.events")
	if err := w.open(w.memoryEvents); err != nil {
		if errors.Is(err, fs.ErrNotExist) && w.group.exists() {
			return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("cgroup %s has no memory controller; give the container a memory limit", w.group.path))
		}
		return err
	}
	w.seen, _ = outOfMemory(w.memoryEvents)
	return w.openPopulated(dir)
}

func (w *watch) openPopulated(dir string) error {
	w.populated = filepath.Join(dir, "cgroup.events")
	return w.open(w.populated)
}

func (w *watch) open(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	w.files = append(w.files, os.NewFile(uintptr(fd), path))
	w.fds = append(w.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLPRI})
	return nil
}

func (w *watch) run(ctx context.Context) error {
	for {
		over, err := w.look()
		if over || err != nil {
			return err
		}
		// v1 alone tells only of the group's removal.
		if _, err := unix.Poll(w.fds, -1); err != nil && err != unix.EINTR {
			return fmt.Errorf("watch for out of memory: %w", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// look tells what happened since the last time. Each file is read from the
// descriptor that is polled: that is what makes it wait again.
func (w *watch) look() (over bool, err error) {
	if w.memoryEvents == "" {
		over = w.lookV1()
	} else {
		over = w.lookV2()
	}
	if over || w.populated == "" {
		return over, nil
	}
	table, err := readAgain(w.files[fdPopulated-1])
	return err != nil || table["populated"] == 0, nil
}

func (w *watch) lookV1() (over bool) {
	var count [8]byte
	n, err := unix.Read(int(w.fds[fdMemory].Fd), count[:])
	if err != nil || n != len(count) {
		return false // nothing yet
	}
	if !w.group.existsIn("memory") {
		return true // the removal was what it told of
	}
	w.event()
	return false
}

func (w *watch) lookV2() (over bool) {
	table, err := readAgain(w.files[fdMemory-1])
	if err != nil {
		return true
	}
	now := sum(table)
	for ; w.seen < now; w.seen++ {
		w.event()
	}
	return false
}

// sum is how often memory was out: each time is counted in oom, unless the kill
// was for a group above.
func sum(table map[string]uint64) uint64 { return max(table["oom"], table["oom_kill"]) }

func outOfMemory(file string) (uint64, error) {
	table, err := kernfs.Table(file)
	return sum(table), err
}

func readAgain(f *os.File) (map[string]uint64, error) {
	const most = 4096
	data := make([]byte, most)
	n, err := f.ReadAt(data, 0)
	if n == 0 && err != nil {
		return nil, err
	}
	return kernfs.ParseTable(string(data[:n])), nil
}
