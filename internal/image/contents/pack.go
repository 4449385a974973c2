package contents

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"
)

// Pack writes the tree as one tar, in the order of names: the same tree gives
// the same bytes.
func (t *Tree) Pack(ctx context.Context, w io.Writer) error {
	p := packing{tree: t, w: tar.NewWriter(w), names: map[inode]string{}}
	if err := p.pack(ctx, ".", t.top); err != nil {
		return err
	}
	return p.w.Close()
}

type packing struct {
	tree  *Tree
	w     *tar.Writer
	names map[inode]string // of files that may have more names
}

func (p *packing) pack(ctx context.Context, name string, n *node) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if n.mode.Type() != fs.ModeSocket { // tar has none
		if err := p.entry(name, n); err != nil {
			return fmt.Errorf("pack %s: %w", name, err)
		}
	}
	for _, base := range n.names() {
		if err := p.pack(ctx, path.Join(name, base), n.children[base]); err != nil {
			return err
		}
	}
	return nil
}

func (p *packing) entry(name string, n *node) error {
	root := p.tree.roots
	if len(root) == 0 {
		return nil
	}
	from := root[n.layer]
	info, err := from.Lstat(name)
	if err != nil {
		return err
	}
	var target string
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = from.Readlink(name); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	h.Name, h.Format = name, tar.FormatPAX
	// What differs from machine to machine and from look to look.
	h.Uname, h.Gname, h.AccessTime, h.ChangeTime = "", "", time.Time{}, time.Time{}
	if info.IsDir() {
		h.Name += "/"
	}
	if first := p.names[n.inode]; n.links && first != "" {
		h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
		return p.w.WriteHeader(h)
	}
	p.names[n.inode] = name
	attrs, err := xattrs(from, name)
	if err != nil {
		return err
	}
	for attr, value := range attrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+attr] = value
	}
	if err := p.w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := from.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(p.w, f)
	return err
}
