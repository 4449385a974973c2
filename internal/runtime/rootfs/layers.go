package rootfs

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/sys/mount"
)

// lowerOption names one layer of an overlay, as fsconfig takes it; the topmost
// comes first.
const lowerOption = "lowerdir+="

// isLayers is whether a mount is an overlay whose layers are named one by one,
// which may be as many, and have as long names, as those of a root.
func isLayers(m specs.Mount) bool {
	if m.Type != "overlay" {
		return false
	}
	for _, o := range m.Options {
		if strings.HasPrefix(o, lowerOption) {
			return true
		}
	}
	return false
}

// layers mounts an overlay, or a directory of it, as it mounts a root.
func (b *Builder) layers(i int, m specs.Mount, o options) error {
	var fd int
	var err error
	if o.mapped {
		fd, err = b.ask(i)
	} else {
		fd, err = stackLayers(o, -1)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return b.place(fd, m)
}

// stackLayers makes the overlay that the options say, detached, seen through the
// ID map of users unless that is -1.
func stackLayers(o options, users int) (int, error) {
	r, err := stackOf(o.data)
	if err != nil {
		return -1, err
	}
	var s *stand
	if users >= 0 || o.subdir != "" {
		if s, err = newStand(); err != nil {
			return -1, err
		}
		defer unix.Close(s.fd)
		s.users = users
	}
	if users >= 0 {
		if r, err = s.layers(r); err != nil {
			return -1, err
		}
	}
	fd, err := overlay(r)
	if err != nil {
		return -1, err
	}
	if o.subdir != "" {
		if fd, err = s.subdir(fd, o.subdir); err != nil {
			return -1, err
		}
	}
	return with(fd, setAttrs(fd, o))
}

func stackOf(data []string) (*oci.Rootfs, error) {
	r := &oci.Rootfs{}
	for _, d := range data {
		key, value, _ := strings.Cut(d, "=")
		switch key {
		case "lowerdir+":
			r.Lowers = append(r.Lowers, value)
		case "upperdir":
			r.Upper = value
		case "workdir":
			r.Work = value
		default:
			return nil, invalid("an overlay with lowerdir+= takes upperdir and workdir besides, not %q", d)
		}
	}
	return r, nil
}

// subdir puts the mount on the stand and returns a copy of what is below it.
func (s *stand) subdir(fd int, name string) (int, error) {
	defer unix.Close(fd)
	at, err := s.place()
	if err != nil {
		return -1, err
	}
	if err := mount.AttachPath(fd, at); err != nil {
		return -1, err
	}
	sub, err := mount.CloneBeneath(at, name, false)
	return sub, explainSubdir("image", name, err)
}
