package cgroup

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/cgroup/kernfs"
)

// freezeTimeout bounds how long a group may take to freeze; a process in an
// uninterruptible sleep delays it.
const freezeTimeout = 5 * time.Second

// Freeze stops every process of the group and returns when all stand still; if
// they do not, the group is thawed again.
func (g *Group) Freeze() error {
	f, err := g.freezer()
	if err != nil {
		return err
	}
	if err := kernfs.Write(f.control, f.freeze); err != nil {
		return fmt.Errorf("freeze cgroup: %w", err)
	}
	deadline := time.Now().Add(freezeTimeout)
	for {
		frozen, err := f.frozen()
		if frozen || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			_ = kernfs.Write(f.control, f.thaw)
			return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("cgroup %s did not freeze within %v: a process waits for the kernel", g.path, freezeTimeout))
		}
		if err := f.wait(); err != nil {
			return err
		}
	}
}

// Thaw lets the processes of the group run on.
func (g *Group) Thaw() error {
	f, err := g.freezer()
	if err != nil {
		return err
	}
	if err := kernfs.Write(f.control, f.thaw); err != nil {
		return fmt.Errorf("thaw cgroup: %w", err)
	}
	return nil
}

// freezer is where a group is frozen.
type freezer struct {
	control, freeze, thaw string
	events                string // v2's, which can be polled
}

func (g *Group) freezer() (freezer, error) {
	h, ok := g.layout.find("freezer")
	if !ok {
		return freezer{}, errdefs.ErrFailedPrecondition.WithMessage("the freezer cgroup is not mounted, so that nothing can be paused")
	}
	dir := h.dir(g.path)
	if h.unified {
		return freezer{filepath.Join(dir, "cgroup.freeze"), "1", "0", filepath.Join(dir, "cgroup.events")}, nil
	}
	return freezer{filepath.Join(dir, "freezer.state"), "FROZEN", "THAWED", ""}, nil
}

func (f freezer) frozen() (bool, error) {
	if f.events != "" {
		table, err := kernfs.Table(f.events)
		return table["frozen"] == 1, err
	}
	state, err := kernfs.Read(f.control)
	return state == f.freeze, err
}

// wait returns when there may be news.
func (f freezer) wait() error {
	if f.events == "" {
		// The state goes on only when it is read, and writing it again
		// catches processes that were born meanwhile.
		time.Sleep(time.Millisecond)
		if err := kernfs.Write(f.control, f.freeze); err != nil {
			return fmt.Errorf("freeze cgroup: %w", err)
		}
		return nil
	}
	fd, err := unix.Open(f.events, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", f.events, err)
	}
	defer unix.Close(fd)
	const maxWaitMsec = 20 // the event may have been between the reading and the opening
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}, maxWaitMsec); err != nil && err != unix.EINTR {
		return fmt.Errorf("poll %s: %w", f.events, err)
	}
	return nil
}
