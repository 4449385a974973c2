package rootfs

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/sys/mount"
)

// maxParam is the longest value that fsconfig takes.
const maxParam = 255

// overlay returns the detached root of r.
func overlay(r *oci.Rootfs) (int, error) {
	// A descriptor of a directory of the host that lived on to execve would be a
	// way out: the program, or its directory, could be named through it.
	var open descriptors
	defer open.close()
	lowers := r.Lowers
	if r.Host {
		host, err := hostView(r.Hidden, &open)
		if err != nil {
			return -1, fmt.Errorf("show the host's root file system: %w", err)
		}
		lowers = []string{fdPath(host)}
	}
	params := []mount.Param{{Key: "source", Value: "overlay"}}
	for _, lower := range lowers {
		params = append(params, open.param("lowerdir+", lower))
	}
	if r.Upper != "" {
		params = append(params, open.param("upperdir", r.Upper), open.param("workdir", r.Work),
			mount.Param{Key: "index", Value: "off"})
	}
	fd, err := mount.New("overlay", params, 0)
	if errors.Is(err, unix.EINVAL) {
		// Linux before 6.7 takes the layers in one option only, and does not say
		// that this is what it minds.
		if old, legacyErr := legacyOverlay(lowers, r); legacyErr == nil {
			return old, nil
		}
	}
	if err != nil {
		return -1, explainOverlay(err, r)
	}
	return fd, nil
}

func explainOverlay(err error, r *oci.Rootfs) error {
	switch {
	case r.Host && strings.Contains(err.Error(), "stacking depth"):
		return fmt.Errorf("mount root file system: the host's own root is an overlay and cannot be shown as an image: %w", err)
	case errors.Is(err, unix.EINVAL) && len(r.Lowers) > 500:
		return fmt.Errorf("mount root file system: %d layers are more than overlayfs takes (500): %w", len(r.Lowers), err)
	}
	return fmt.Errorf("mount root file system: %w", err)
}

// descriptors name directories until the filesystem has them.
type descriptors []int

func (d *descriptors) add(fd int) int {
	*d = append(*d, fd)
	return fd
}

func (d *descriptors) close() {
	for _, fd := range *d {
		unix.Close(fd)
	}
}

// param names a directory; one whose path is too long by a descriptor.
func (d *descriptors) param(key, dir string) mount.Param {
	if len(dir) > maxParam {
		if fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0); err == nil {
			dir = fdPath(d.add(fd))
		}
	}
	return mount.Param{Key: key, Value: dir}
}

func fdPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// legacyOverlay is for older kernels: mount(2) with all layers in one page,
// each named by a descriptor so that they fit.
func legacyOverlay(lowers []string, r *oci.Rootfs) (int, error) {
	var open descriptors
	defer open.close()
	var names []string
	for _, lower := range lowers {
		fd, err := unix.Open(lower, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, fmt.Errorf("open layer %s: %w", lower, err)
		}
		names = append(names, fdPath(open.add(fd)))
	}
	data := "index=off,lowerdir=" + strings.Join(names, ":")
	if r.Upper != "" {
		data += ",upperdir=" + r.Upper + ",workdir=" + r.Work
	}
	// It needs a place, which nobody else must see.
	stand, err := mount.New("tmpfs", []mount.Param{{Key: "size", Value: "64k"}}, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(stand)
	if err := mount.AttachPath(stand, "/"); err != nil {
		return -1, err
	}
	if err := unix.Mkdirat(stand, "root", 0o700); err != nil {
		return -1, err
	}
	at := fdPath(stand) + "/root"
	if err := unix.Mount("overlay", at, "overlay", 0, data); err != nil {
		return -1, fmt.Errorf("mount root file system: %w", err)
	}
	return mount.Clone(at, false)
}

// hostView is a read-only overlay that shows "/", without the mounts on it and
// without what is hidden. An overlay with "/" as lower and an upper on the same
// filesystem is ELOOP, hence a stage of its own.
func hostView(hidden []string, open *descriptors) (int, error) {
	cover, err := mount.New("tmpfs", []mount.Param{{Key: "mode", Value: "755"}, {Key: "source", Value: "berth"}}, 0)
	if err != nil {
		return -1, err
	}
	open.add(cover)
	for _, name := range hidden {
		if err := hide(cover, name); err != nil {
			return -1, fmt.Errorf("hide %s: %w", name, err)
		}
	}
	if err := copyOwner("/", cover, "."); err != nil {
		return -1, err
	}
	// Kernels before 6.15 take only layers that are attached somewhere.
	if err := mount.AttachPath(cover, "/"); err != nil {
		return -1, err
	}
	view, err := mount.New("overlay", []mount.Param{
		{Key: "source", Value: "berth-host"},
		{Key: "lowerdir", Value: fdPath(cover) + ":/"},
	}, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return -1, err
	}
	return open.add(view), mount.AttachPath(view, "/")
}

// hide covers one path of the host: by a whiteout, or by an opaque directory if
// it ends in a slash. What is not there needs no cover.
func hide(cover int, name string) error {
	clean := path.Clean("/" + name)
	var st unix.Stat_t
	if err := unix.Lstat(clean, &st); err != nil {
		return ignore(err, unix.ENOENT, unix.ENOTDIR)
	}
	at := ""
	dir, base := path.Split(clean)
	for _, part := range strings.Split(strings.Trim(dir, "/"), "/") {
		if part == "" {
			continue
		}
		at += "/" + part
		err := unix.Mkdirat(cover, at[1:], 0o700)
		if err == unix.EEXIST {
			continue
		}
		if err != nil {
			return err
		}
		if err := copyOwner(at, cover, at[1:]); err != nil {
			return err
		}
	}
	target := strings.TrimPrefix(at+"/"+base, "/")
	if !strings.HasSuffix(name, "/") {
		return ignore(unix.Mknodat(cover, target, unix.S_IFCHR, 0), unix.EEXIST)
	}
	if err := ignore(unix.Mkdirat(cover, target, 0o755), unix.EEXIST); err != nil {
		return err
	}
	return unix.Setxattr(fdPath(cover)+"/"+target, "trusted.overlay.opaque", []byte("y"), 0)
}

// copyOwner gives name below dir the owner, mode and times of the host's path:
// the topmost layer decides what a merged directory looks like.
func copyOwner(host string, dir int, name string) error {
	var st unix.Stat_t
	if err := unix.Lstat(host, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return unix.ENOTDIR
	}
	if err := unix.Fchownat(dir, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if err := unix.Fchmodat(dir, name, st.Mode&0o7777, 0); err != nil {
		return err
	}
	return unix.UtimesNanoAt(dir, name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

func ignore(err error, harmless ...error) error {
	for _, h := range harmless {
		if errors.Is(err, h) {
			return nil
		}
	}
	return err
}
