package rootfs

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/mount"
)

// Ask gets from the runtime what the init has no right to make: mount number n
// of the list, or Root. It returns a detached mount.
type Ask func(n int) (int, error)

// Root is the number of the root filesystem.
const Root = -1

// IDMap is the map of a mount; without IDs it is that of the container's user
// namespace.
type IDMap struct{ UIDs, GIDs []specs.LinuxIDMapping }

// MapOf is the ID map that Provide needs a user namespace of, if it needs one.
func MapOf(spec *wire.Root, n int) (m IDMap, needed bool) {
	if n == Root {
		return m, spec.Rootfs != nil
	}
	if n < 0 || n >= len(spec.Mounts) {
		return m, false
	}
	mount := spec.Mounts[n]
	return IDMap{UIDs: mount.UIDMappings, GIDs: mount.GIDMappings}, parseOptions(mount).mapped
}

// IsStack is whether what Provide makes is an overlay, whose maker must be the
// container's root.
func IsStack(spec *wire.Root, n int) bool {
	if n == Root {
		return spec.Rootfs != nil
	}
	return n >= 0 && n < len(spec.Mounts) && isLayers(spec.Mounts[n])
}

// ShowsNetwork is whether what Provide makes shows the network namespace of its
// maker, which must be the container's.
func ShowsNetwork(spec *wire.Root, n int) bool {
	return n >= 0 && n < len(spec.Mounts) && showsNetwork(spec.Mounts[n], parseOptions(spec.Mounts[n]))
}

func showsNetwork(m specs.Mount, o options) bool { return m.Type == sysfs && !o.bind }

// Provide is the other side of Ask. The caller has the privileges of the host
// and is in the mount namespace of the init, so that flags which are locked there
// stay locked. users is a user namespace with the ID map that MapOf names.
func Provide(spec *wire.Root, n, users int) (int, error) {
	if n == Root {
		return provideRoot(spec, users)
	}
	if n < 0 || n >= len(spec.Mounts) {
		return -1, fmt.Errorf("the init asked for mount %d of %d", n, len(spec.Mounts))
	}
	m := spec.Mounts[n]
	o := parseOptions(m)
	if isLayers(m) {
		return stackLayers(o, users)
	}
	if showsNetwork(m, o) {
		fd, err := mount.New(sysfs, []mount.Param{{Key: "source", Value: sysfs}}, o.attr.Set)
		if err != nil {
			return -1, err
		}
		o.attr.Set, o.attr.Clear = 0, 0
		return with(fd, setAttrs(fd, o))
	}
	fd, err := cloneSource(m, o)
	if err != nil {
		return -1, err
	}
	if fd, err = with(fd, setAttrs(fd, o)); err != nil || !o.mapped {
		return fd, err
	}
	return with(fd, setMap(fd, users, o.mapAll, m.Source))
}

func setMap(fd, users int, recursive bool, name string) error {
	err := mount.SetIDMap(fd, users, recursive)
	switch {
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("map the IDs of %s: its filesystem does not support that with this kernel: %w", name, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("map the IDs of %s: it needs the host's privileges, or it is ID-mapped already: %w", name, err)
	case err != nil:
		return fmt.Errorf("map the IDs of %s: %w", name, err)
	}
	return nil
}

func provideRoot(spec *wire.Root, users int) (int, error) {
	if spec.Rootfs == nil {
		return mount.Clone(spec.Path, true)
	}
	stand, err := newStand()
	if err != nil {
		return -1, err
	}
	defer unix.Close(stand.fd)
	stand.users = users
	mapped, err := stand.layers(spec.Rootfs)
	if err != nil {
		return -1, err
	}
	return overlay(mapped)
}

// stand is a filesystem of directories for mounts that need a place, which
// nobody else sees. It goes away with the old root.
type stand struct {
	fd, users, n int
}

func newStand() (*stand, error) {
	fd, err := mount.New("tmpfs", []mount.Param{{Key: "size", Value: "64k"}}, 0)
	if err != nil {
		return nil, err
	}
	if fd, err = with(fd, mount.AttachPath(fd, "/")); err != nil {
		return nil, err
	}
	return &stand{fd: fd}, nil
}

// layers returns r with directories that are seen through the ID map. The
// upper and the work directory must be on one mount.
func (s *stand) layers(r *oci.Rootfs) (*oci.Rootfs, error) {
	if r.Host {
		return nil, invalid("the image host cannot be used in a user namespace")
	}
	mapped := &oci.Rootfs{}
	for _, lower := range r.Lowers {
		at, err := s.layer(lower)
		if err != nil {
			return nil, err
		}
		mapped.Lowers = append(mapped.Lowers, at)
	}
	if r.Upper == "" {
		return mapped, nil
	}
	common := commonDir(r.Upper, r.Work)
	at, err := s.layer(common + "/")
	mapped.Upper, mapped.Work = at+strings.TrimPrefix(r.Upper, common), at+strings.TrimPrefix(r.Work, common)
	return mapped, err
}

func (s *stand) layer(dir string) (string, error) {
	fd, err := mount.Clone(dir, false)
	if err != nil {
		return "", fmt.Errorf("open layer %s: %w", dir, err)
	}
	defer unix.Close(fd)
	if err := setMap(fd, s.users, false, dir); err != nil {
		return "", err
	}
	// Kernels before 6.15 take only layers that are attached somewhere.
	at, err := s.place()
	if err != nil {
		return "", err
	}
	return at, mount.AttachPath(fd, at)
}

// place is a directory for one more mount.
func (s *stand) place() (string, error) {
	name := strconv.Itoa(s.n)
	s.n++
	if err := unix.Mkdirat(s.fd, name, 0o700); err != nil {
		return "", err
	}
	return fdPath(s.fd) + "/" + name, nil
}

func commonDir(a, b string) string {
	for dir := path.Dir(a); ; dir = path.Dir(dir) {
		if dir == "/" || strings.HasPrefix(b, dir+"/") {
			return strings.TrimSuffix(dir, "/")
		}
	}
}
