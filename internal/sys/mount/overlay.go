package mount

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ViewLayers mounts layers one above the other at target, the topmost first, so
// that nothing can be written, no device opened and no setuid program used.
// Overlayfs takes at least two.
func ViewLayers(layers []string, target string) error {
	const attr = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID
	params := []Param{{Key: "source", Value: "berth-image"}}
	// Named by descriptors: their paths may be longer than fsconfig takes.
	var names []string
	for _, l := range layers {
		f, err := os.Open(l)
		if err != nil {
			return fmt.Errorf("open layer: %w", err)
		}
		defer f.Close()
		names = append(names, "/proc/self/fd/"+strconv.Itoa(int(f.Fd())))
		params = append(params, Param{Key: "lowerdir+", Value: names[len(names)-1]})
	}
	fd, err := New("overlay", params, attr)
	if errors.Is(err, unix.EINVAL) {
		// Linux before 6.7 takes the layers in one option only.
		if unix.Mount("berth-image", target, "overlay", unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID, "lowerdir="+strings.Join(names, ":")) == nil {
			return nil
		}
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := AttachPath(fd, target); err != nil {
		return fmt.Errorf("mount at %s: %w", target, err)
	}
	return nil
}

// Unmount takes the topmost mount at target away; a busy one goes when it is free
// if lazy.
func Unmount(target string, lazy bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	if err := unix.Unmount(target, flags); err != nil {
		return fmt.Errorf("unmount %s: %w", target, err)
	}
	return nil
}

// Points lists the places where file systems with this source are mounted.
func Points(source string) (map[string]bool, error) {
	table, err := mountTable()
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	places := map[string]bool{}
	for line := range strings.Lines(table) {
		before, after, ok := strings.Cut(line, " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if ok && len(fields) > 4 && len(rest) > 1 && rest[1] == source {
			places[unescape(fields[4])] = true
		}
	}
	return places, nil
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
