package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	confs "github.com/containerd/continuity/fs"
	"github.com/containerd/continuity/sysx"
	"github.com/containerd/errdefs"
)

// link is a hard link to a file that is not, or not yet, in the layer.
type link struct{ name, target string }

// postpone notes a hard link whose target is not here. It is made when the
// layers below are known: as overlayfs would, with a copy of the target.
func (t *tree) postpone(dir string, hdr *tar.Header) bool {
	if hdr.Typeflag != tar.TypeLink {
		return false
	}
	target := path.Clean("/" + hdr.Linkname)
	parent, err := confs.RootPath(dir, path.Dir(target))
	if err != nil {
		return false
	}
	if _, err := os.Lstat(filepath.Join(parent, path.Base(target))); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	t.pass(target)
	t.links = append(t.links, link{name: strings.TrimPrefix(path.Clean("/"+hdr.Name), "/"), target: strings.TrimPrefix(target, "/")})
	return true
}

// makeLinks makes the postponed links of the layer in root, in their order.
func makeLinks(root *os.Root, links []link, lowers []string) error {
	for _, l := range links {
		if _, err := root.Lstat(l.name); err == nil {
			continue // a later entry took the name
		}
		if err := copyUp(root, l.target, lowers); err != nil {
			return fmt.Errorf("hard link %s to %s: %w", l.name, l.target, err)
		}
		err := keepingTime(root, l.name, func() error { return root.Link(l.target, l.name) })
		if err != nil {
			return fmt.Errorf("hard link %s to %s: %w", l.name, l.target, err)
		}
	}
	return nil
}

// copyUp copies a file from the nearest of lowers into root, unless it is there.
func copyUp(root *os.Root, name string, lowers []string) error {
	if info, err := root.Lstat(name); err == nil {
		if !info.Mode().IsRegular() {
			return errdefs.ErrInvalidArgument.WithMessage("the target is no file")
		}
		return nil
	}
	for _, lower := range lowers {
		from, err := os.OpenRoot(lower)
		if err != nil {
			return err
		}
		info, further, err := seek(from, name)
		if info != nil {
			err = keepingTime(root, name, func() error { return copyFile(root, from, name, info) })
		}
		from.Close()
		if info != nil || err != nil {
			return err
		}
		if !further {
			break
		}
	}
	return errdefs.ErrInvalidArgument.WithMessage("there is no such target in this layer or below")
}

// seek looks for a file in one layer; further says that a lower one may have it.
func seek(from *os.Root, name string) (info fs.FileInfo, further bool, err error) {
	further = true
	parts := strings.Split(name, "/")
	for i := range parts {
		at := strings.Join(parts[:i+1], "/")
		info, err := from.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, further, nil
		}
		if err != nil {
			return nil, false, err
		}
		if i == len(parts)-1 && info.Mode().IsRegular() {
			return info, false, nil
		}
		if !info.IsDir() {
			return nil, false, nil // a whiteout, or something else that hides it
		}
		if opaque, err := sysx.LGetxattr(filepath.Join(from.Name(), at), "trusted.overlay.opaque"); err == nil && string(opaque) == "y" {
			further = false
		}
	}
	return nil, false, nil
}

func copyFile(to, from *os.Root, name string, info fs.FileInfo) error {
	in, err := from.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return copyAttributes(to, from, name, info)
}

// keepingTime makes something in name's parent, which it makes if needed, and
// leaves that parent's time as it was.
func keepingTime(root *os.Root, name string, do func() error) error {
	parent := path.Dir(name)
	if err := root.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	info, err := root.Lstat(parent)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return root.Chtimes(parent, info.ModTime(), info.ModTime())
}
