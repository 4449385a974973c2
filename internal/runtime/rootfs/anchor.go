package rootfs

import (
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/mount"
)

// anchor is a mount of proc or sysfs. What is masked there is found from the
// mount itself: who can rename the directory it lies on could put another in its
// place, have that masked, and look at the real one.
type anchor struct {
	name string
	fd   int
	proc bool
	dev  uint64
}

// anchors are those that can be seen.
type anchors []anchor

func (l *anchors) remember(fd int, m specs.Mount) error {
	a := anchor{name: path.Clean("/" + m.Destination), proc: m.Type != "sysfs"}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	a.dev = st.Dev
	var err error
	a.fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	*l = append(*l, a)
	return err
}

// forget drops the anchors that a new mount covers.
func (l *anchors) forget(name string) {
	*l = slices.DeleteFunc(*l, func(a anchor) bool {
		covered := a.name == name || strings.HasPrefix(a.name, name+"/")
		if covered {
			unix.Close(a.fd)
		}
		return covered
	})
}

// isProc is whether the device is that of a proc filesystem of the container.
func (l anchors) isProc(dev uint64) bool {
	return slices.ContainsFunc(l, func(a anchor) bool { return a.proc && a.dev == dev })
}

// open opens a path to mask or to make read-only.
func (b *Builder) open(name string) (int, error) {
	clean := path.Clean("/" + name)
	for _, a := range b.anchors {
		if below, ok := strings.CutPrefix(clean, a.name+"/"); ok {
			return mount.OpenIn(a.fd, below, unix.O_PATH, 0)
		}
	}
	return mount.OpenIn(b.root, name, unix.O_PATH, 0)
}
