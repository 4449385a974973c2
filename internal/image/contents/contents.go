// Package contents reads the unpacked layers of an image: what each of them adds,
// changes and deletes, the tree that they make together, how two trees differ,
// and one tree as a tar.
//
// A layer is a directory as overlayfs takes it, with its whiteouts and opaque
// directories. Nothing is mounted and nothing is changed; no link leads out of a
// layer. A tree is in memory while it is looked at: some 200 bytes for each
// file. A crash leaves nothing.
package contents

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/continuity/sysx"
)

// Tree is layers one above the other, as a container sees them.
type Tree struct {
	roots []*os.Root
	top   *node
}

// Layer is what one layer does to those below it. Directories do not count.
type Layer struct {
	Bytes                   int64 // of its files
	Added, Changed, Deleted int
	// Wasted are the bytes of files further down that this layer replaces or deletes.
	Wasted int64
}

// node is one file or directory.
type node struct {
	layer    int // whose file it is
	mode     fs.FileMode
	uid, gid uint32
	size     int64
	rdev     uint64
	inode    inode
	links    bool // other names may have the same inode
	children map[string]*node
}

type inode struct{ dev, ino uint64 }

// Open reads layers, the topmost first as overlayfs has them. The answer about
// layers is in the order of the image: the lowest first.
func Open(ctx context.Context, dirs []string) (*Tree, []Layer, error) {
	t := &Tree{top: &node{mode: fs.ModeDir | 0o755, children: map[string]*node{}}}
	layers := make([]Layer, len(dirs))
	for i := range dirs {
		root, err := os.OpenRoot(dirs[len(dirs)-1-i])
		if err != nil {
			t.Close()
			return nil, nil, fmt.Errorf("open layer: %w", err)
		}
		t.roots = append(t.roots, root)
		r := reading{root: root, index: i, did: &layers[i], seen: map[inode]bool{}}
		if err := r.start(ctx, t.top); err != nil {
			t.Close()
			return nil, nil, fmt.Errorf("read layer %d: %w", i+1, err)
		}
	}
	return t, layers, nil
}

// Close closes the layers.
func (t *Tree) Close() {
	for _, r := range t.roots {
		r.Close()
	}
}

// reading puts one layer above what is there.
type reading struct {
	root  *os.Root
	index int
	did   *Layer
	seen  map[inode]bool // files that count once
}

func (r *reading) start(ctx context.Context, top *node) error {
	info, err := r.root.Lstat(".")
	if err != nil {
		return err
	}
	top.take(info, r.index)
	return r.merge(ctx, ".", top)
}

// merge puts the directory dir of the layer above n.
func (r *reading) merge(ctx context.Context, dir string, n *node) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := readDir(r.root, dir)
	if err != nil {
		return err
	}
	if opaque(r.root, dir) {
		r.hide(n, entries)
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		info, err := r.root.Lstat(name)
		if err != nil {
			return err
		}
		if err := r.put(ctx, n, e.Name(), name, info); err != nil {
			return err
		}
	}
	return nil
}

// put makes name what the layer says that it is.
func (r *reading) put(ctx context.Context, parent *node, base, name string, info fs.FileInfo) error {
	below := parent.children[base]
	if whiteout(info) {
		r.remove(below)
		delete(parent.children, base)
		return nil
	}
	if below == nil || !info.IsDir() || !below.mode.IsDir() {
		fresh := &node{}
		if info.IsDir() {
			fresh.children = map[string]*node{}
		}
		r.count(below, info)
		parent.children[base] = fresh
		below = fresh
	}
	below.take(info, r.index)
	if !info.IsDir() {
		if id := below.inode; !r.seen[id] {
			r.seen[id] = true
			r.did.Bytes += below.size
		}
		return nil
	}
	return r.merge(ctx, name, below)
}

// count tells what becomes of below when something else takes its place.
func (r *reading) count(below *node, info fs.FileInfo) {
	switch {
	case info.IsDir():
		r.remove(below)
	case below == nil:
		r.did.Added++
	case below.mode.IsDir():
		r.remove(below)
		r.did.Added++
	default:
		r.did.Changed++
		r.waste(below)
	}
}

// hide takes away what an opaque directory does not show. What the layer has
// anew stays, to be counted as changed.
func (r *reading) hide(n *node, own []fs.DirEntry) {
	keep := map[string]bool{}
	for _, e := range own {
		if !e.IsDir() {
			keep[e.Name()] = true
		}
	}
	for base, child := range n.children {
		if keep[base] && !child.mode.IsDir() {
			continue
		}
		r.remove(child)
		delete(n.children, base)
	}
}

func (r *reading) remove(n *node) {
	if n == nil {
		return
	}
	if !n.mode.IsDir() {
		r.did.Deleted++
		r.waste(n)
		return
	}
	for _, child := range n.children {
		r.remove(child)
	}
}

// waste counts the bytes of a file further down, once for all its names.
func (r *reading) waste(n *node) {
	if n.layer == r.index || n.links && r.seen[n.inode] {
		return
	}
	r.seen[n.inode] = true
	r.did.Wasted += n.size
}

// take gives n the attributes of a file of a layer.
func (n *node) take(info fs.FileInfo, layer int) {
	n.layer, n.mode = layer, info.Mode()
	st := info.Sys().(*syscall.Stat_t)
	n.uid, n.gid, n.rdev = st.Uid, st.Gid, uint64(st.Rdev)
	n.inode, n.links = inode{uint64(st.Dev), st.Ino}, st.Nlink > 1 && !info.IsDir()
	if info.Mode().IsRegular() {
		n.size = info.Size()
	} else {
		n.size = 0
	}
}

// names are the children's names in order.
func (n *node) names() []string {
	names := make([]string, 0, len(n.children))
	for name := range n.children {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func readDir(root *os.Root, dir string) ([]fs.DirEntry, error) {
	f, err := root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

func whiteout(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode()&fs.ModeCharDevice != 0 && st.Rdev == 0
}

func opaque(root *os.Root, dir string) bool {
	v, err := xattr(root, dir, "trusted.overlay.opaque")
	return err == nil && string(v) == "y"
}

func xattr(root *os.Root, name, attr string) ([]byte, error) {
	at, done, err := pathOf(root, name)
	if err != nil {
		return nil, err
	}
	defer done()
	return sysx.LGetxattr(at, attr)
}

// pathOf is a path that leads to name itself, also if it is a link: by the
// descriptor of the directory above it.
func pathOf(root *os.Root, name string) (string, func(), error) {
	dir, err := root.Open(path.Dir(name))
	if err != nil {
		return "", nil, err
	}
	at := "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/"
	if name != "." {
		at += path.Base(name)
	}
	return at, func() { dir.Close() }, nil
}

// xattrs are those that belong to the file, without overlayfs's own.
func xattrs(root *os.Root, name string) (map[string]string, error) {
	at, done, err := pathOf(root, name)
	if err != nil {
		return nil, err
	}
	defer done()
	list, err := sysx.LListxattr(at)
	if err != nil {
		return nil, fmt.Errorf("list attributes of %s: %w", name, err)
	}
	all := map[string]string{}
	for _, attr := range list {
		if strings.HasPrefix(attr, "trusted.overlay.") {
			continue
		}
		v, err := sysx.LGetxattr(at, attr)
		if err != nil {
			return nil, fmt.Errorf("read attribute %s of %s: %w", attr, name, err)
		}
		all[attr] = string(v)
	}
	return all, nil
}
