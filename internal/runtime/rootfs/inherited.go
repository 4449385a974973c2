package rootfs

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/mount"
)

// coverRoot is attachRoot in a mount namespace that is the host's: a copy of the
// root covers it, and one unmount takes all away that is mounted on that.
func (b *Builder) coverRoot() error {
	fd, err := b.plainRoot()
	if err != nil {
		return err
	}
	b.root = fd
	if err := mount.AttachPath(fd, b.spec.Path); err != nil {
		return fmt.Errorf("attach the root file system: %w", err)
	}
	// On a shared mount it has become one; what is mounted on it must not be seen
	// elsewhere.
	propagation := uint64(unix.MS_PRIVATE)
	if propagations[strings.TrimPrefix(b.spec.Propagation, "r")] == unix.MS_SLAVE {
		propagation = unix.MS_SLAVE
	}
	if err := mount.SetAttr(fd, mount.Attr{Propagation: propagation}, true); err != nil {
		return fmt.Errorf("make the root file system private: %w", err)
	}
	return nil
}
