package rootfs

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// privatePlace makes the mount that path is on private and returns the path
// without symbolic links.
func privatePlace(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	if path, err = os.Readlink(fmt.Sprintf("/proc/thread-self/fd/%d", fd)); err != nil {
		return "", err
	}
	for at := path; ; at = filepath.Dir(at) {
		// Only a mount point takes it.
		err := unix.Mount("", at, "", unix.MS_PRIVATE, "")
		if err != unix.EINVAL || at == "/" {
			return path, err
		}
	}
}
