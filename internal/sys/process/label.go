package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Label is what confines the program by a security module of the kernel. At most
// one of its fields is set.
type Label struct {
	AppArmor string // a loaded profile
	SELinux  string // a context
}

// own is where a thread says what its next program is confined by.
const own = "/proc/thread-self/attr"

// HasAppArmor is whether the kernel below root, which is "/", enforces AppArmor.
func HasAppArmor(root string) bool {
	b, err := os.ReadFile(filepath.Join(root, "sys/module/apparmor/parameters/enabled"))
	return err == nil && strings.HasPrefix(string(b), "Y")
}

// HasSELinux is whether the kernel has an SELinux with a policy.
func HasSELinux() bool {
	var fs unix.Statfs_t
	return unix.Statfs("/sys/fs/selinux", &fs) == nil && fs.Type == unix.SELINUX_MAGIC
}

// SetKeys labels the keys that the thread makes, until it executes a program.
func (l Label) SetKeys() error {
	if l.SELinux == "" {
		return nil
	}
	if err := writeAttr(own, []string{"keycreate"}, l.SELinux); err != nil {
		return fmt.Errorf("label keys with process.selinuxLabel %q: %w", l.SELinux, err)
	}
	return nil
}

// SetExec confines what the thread executes next. The host's /proc has to be the
// one that is seen: a container's could lead anywhere.
func (l Label) SetExec() error {
	switch {
	case l.AppArmor != "":
		// A kernel with several security modules has a directory for each.
		err := writeAttr(own, []string{"apparmor/exec", "exec"}, "exec "+l.AppArmor)
		if errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("process.apparmorProfile %q is not loaded on this host: load it with apparmor_parser", l.AppArmor)
		}
		if err != nil {
			return fmt.Errorf("apply process.apparmorProfile %q: %w", l.AppArmor, err)
		}
	case l.SELinux != "":
		if err := writeAttr(own, []string{"exec"}, l.SELinux); err != nil {
			return fmt.Errorf("apply process.selinuxLabel %q: %w", l.SELinux, err)
		}
	}
	return nil
}

// writeAttr writes to the first of names that is there.
func writeAttr(dir string, names []string, value string) error {
	fd, err := -1, error(unix.ENOENT)
	for _, name := range names {
		fd, err = unix.Open(dir+"/"+name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.ENOENT) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("open %s/%s: %w", dir, names[0], errNoModule(err))
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return err
	}
	if fs.Type != unix.PROC_SUPER_MAGIC {
		return fmt.Errorf("%s is not of the kernel's proc", dir)
	}
	_, err = unix.Write(fd, []byte(value))
	return err
}

// errNoModule keeps a missing file apart from a missing profile, which is ENOENT
// of the write.
func errNoModule(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return errors.New("the kernel has no such attribute")
	}
	return err
}
