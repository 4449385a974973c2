package criu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/mount"
)

// mountTable is the file beside the images that says what was mounted.
const mountTable = "mountinfo"

// attributes are what a mount keeps a container from; criu leaves some of them
// out when it binds a second mount of one filesystem.
var attributes = map[string]uint64{"ro": unix.MOUNT_ATTR_RDONLY, "nosuid": unix.MOUNT_ATTR_NOSUID,
	"nodev": unix.MOUNT_ATTR_NODEV, "noexec": unix.MOUNT_ATTR_NOEXEC, "nosymfollow": unix.MOUNT_ATTR_NOSYMFOLLOW}

// saveMounts keeps the process's mounts for a restore.
func saveMounts(images string, pid int) error {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(images, mountTable), table, 0o600)
}

// RestoreMounts gives the mounts of a stopped container the attributes that they
// had when it was dumped.
func RestoreMounts(images string, pid int) error {
	before, err := os.ReadFile(filepath.Join(images, mountTable))
	if err != nil {
		return err
	}
	now, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return err
	}
	lost, err := lostAttributes(string(before), string(now))
	if err != nil || len(lost) == 0 {
		return err
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends in the container's namespace
		done <- set(pid, lost)
	}()
	return <-done
}

// lostAttributes are by mount point. Of several mounts at one the last is seen.
func lostAttributes(before, now string) (map[string]uint64, error) {
	restored := parseMounts(now)
	lost := map[string]uint64{}
	for path, had := range parseMounts(before) {
		has, ok := restored[path]
		if !ok {
			return nil, fmt.Errorf("criu has not restored the mount at %s", path)
		}
		if had&^has != 0 {
			lost[path] = had &^ has
		}
	}
	return lost, nil
}

func parseMounts(table string) map[string]uint64 {
	escapes := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	mounts := map[string]uint64{}
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 6 {
			continue
		}
		var attr uint64
		for option := range strings.SplitSeq(fields[5], ",") {
			attr |= attributes[option]
		}
		mounts[escapes.Replace(fields[4])] = attr
	}
	return mounts
}

func set(pid int, lost map[string]uint64) error {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS)); err != nil {
		return fmt.Errorf("enter the mount namespace of process %d: %w", pid, err)
	}
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	for path, attr := range lost {
		fd, err := mount.OpenIn(root, path, unix.O_PATH, 0)
		if err == nil {
			err = mount.SetAttr(fd, mount.Attr{Set: attr}, false)
			unix.Close(fd)
		}
		if err != nil {
			return fmt.Errorf("restore the attributes of the mount at %s: %w", path, err)
		}
	}
	return nil
}
