package mount

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// ChrootTo makes the mount root, which lies on the caller's "/", the root without
// a pivot. What lies under it stays and is out of reach; only the proc and sysfs
// mounts must go, since the kernel lets a user namespace mount anew what it has
// in full somewhere. table is /proc/self/mountinfo; without it they stay too.
func ChrootTo(root int, table string) error {
	points := map[string]string{}
	for line := range strings.Lines(table) {
		p := parsePoint(line)
		points[p.id] = p.path
	}
	for line := range strings.Lines(table) {
		p := parsePoint(line)
		if p.fstype != "proc" && p.fstype != "sysfs" {
			continue
		}
		if err := takeAway(p.path, points[p.parent]); err != nil {
			return fmt.Errorf("take the host's %s away: %w", p.path, err)
		}
	}
	if err := unix.Fchdir(root); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	return unix.Chdir("/")
}

// takeAway unmounts what lies on path. Whether that is told to the host is up to
// the mount that it lies on.
func takeAway(path, parent string) error {
	if err := unix.Mount("", parent, "", unix.MS_SLAVE, ""); err != nil && !covered(err) {
		return err
	}
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	if err != unix.EINVAL && err != unix.EPERM {
		return err
	}
	// It is locked, in a user namespace: cover it.
	fd, err := New("tmpfs", []Param{{Key: "size", Value: "0"}, {Key: "nr_inodes", Value: "1"}}, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err = AttachPath(fd, path); covered(err) {
		return nil
	}
	return err
}

// covered is whether a place cannot be named because another mount hides it,
// from everybody.
func covered(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)
}

// point is a line of /proc/self/mountinfo.
type point struct{ id, parent, path, fstype string }

// parsePoint reads "ID parent dev root path options tags... - type source super".
func parsePoint(line string) point {
	head, tail, ok := strings.Cut(line, " - ")
	fields := strings.Fields(head)
	if !ok || len(fields) < 5 {
		return point{}
	}
	fstype, _, _ := strings.Cut(strings.TrimSpace(tail), " ")
	path := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])
	return point{id: fields[0], parent: fields[1], path: path, fstype: fstype}
}
