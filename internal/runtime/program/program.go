// Package program finds the executable that a command names.
package program

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
)

// Denied is the error for a program that may not be executed.
func Denied(name string) error {
	return &wire.Failure{Cause: wire.Denied, Message: fmt.Sprintf("exec: %q: permission denied", name)}
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Find finds the program that name is, as the calling thread's user, in the PATH
// of env. Errors are wire.Failure with the words of Docker.
func Find(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		err := executable(name)
		switch {
		case err == nil:
			return name, nil
		case errors.Is(err, unix.EACCES):
			return "", Denied(name)
		}
		return "", &wire.Failure{Cause: wire.NotFound, Message: fmt.Sprintf("exec: %q: stat %s: %v", name, name, err)}
	}
	list := defaultPath
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			list = v
		}
	}
	found := false
	for _, dir := range filepath.SplitList(list) {
		if dir == "" {
			dir = "."
		}
		at := filepath.Join(dir, name)
		if !strings.Contains(at, "/") {
			at = "./" + at
		}
		err := executable(at)
		if err == nil {
			return at, nil
		}
		found = found || errors.Is(err, unix.EACCES)
	}
	if found && name != "" {
		return "", Denied(name)
	}
	return "", &wire.Failure{Cause: wire.NotFound, Message: fmt.Sprintf("exec: %q: executable file not found in $PATH", name)}
}

func executable(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err
	}
	// access(2) would ask for the real user's; execve asks for a bit even of root.
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0 {
		return unix.EACCES
	}
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
}
