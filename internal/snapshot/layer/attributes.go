package layer

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/continuity/sysx"
)

// copyAttributes copies owner, mode, times and xattrs of a directory. Both
// names were opened through a root, so no symbolic link is followed.
func copyAttributes(to, from *os.Root, rel string, info os.FileInfo) error {
	st := info.Sys().(*syscall.Stat_t)
	if err := to.Lchown(rel, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := to.Chmod(rel, info.Mode()); err != nil {
		return err
	}
	source, target := filepath.Join(from.Name(), rel), filepath.Join(to.Name(), rel)
	names, err := sysx.LListxattr(source)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, "trusted.overlay.") {
			continue
		}
		value, err := sysx.LGetxattr(source, name)
		if err != nil {
			return err
		}
		if err := sysx.LSetxattr(target, name, value, 0); err != nil {
			return err
		}
	}
	return to.Chtimes(rel, info.ModTime(), info.ModTime())
}
