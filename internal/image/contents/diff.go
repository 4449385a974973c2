package contents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"

	"github.com/berth-containers/berth/internal/image/report"
)

// Diff tells in order of the paths what b has otherwise than a. Times do not
// count: two builds of the same files would differ in all of them.
func Diff(ctx context.Context, a, b *Tree, tell func(report.Difference) error) error {
	c := comparison{a: a, b: b, tell: tell}
	return c.compare(ctx, "/", a.top, b.top)
}

type comparison struct {
	a, b *Tree
	tell func(report.Difference) error
}

func (c *comparison) compare(ctx context.Context, name string, x, y *node) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	what, err := c.differ(name, x, y)
	if err != nil {
		return fmt.Errorf("compare %s: %w", name, err)
	}
	if len(what) > 0 {
		if err := c.tell(report.Difference{Path: name, Kind: report.Changed, What: what, From: x.size, To: y.size}); err != nil {
			return err
		}
	}
	names := append(x.names(), y.names()...)
	slices.Sort(names)
	for _, base := range slices.Compact(names) {
		child, other := x.children[base], y.children[base]
		switch at := path.Join(name, base); {
		case other == nil:
			err = c.all(at, report.Deleted, child)
		case child == nil:
			err = c.all(at, report.Added, other)
		default:
			err = c.compare(ctx, at, child, other)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// all tells of everything below name, which only one tree has.
func (c *comparison) all(name, kind string, n *node) error {
	d := report.Difference{Path: name, Kind: kind, To: n.size}
	if kind == report.Deleted {
		d.From, d.To = n.size, 0
	}
	if err := c.tell(d); err != nil {
		return err
	}
	for _, base := range n.names() {
		if err := c.all(path.Join(name, base), kind, n.children[base]); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) differ(name string, x, y *node) ([]string, error) {
	if x.inode == y.inode && !x.mode.IsDir() {
		return nil, nil // of a layer that both have
	}
	if x.mode.Type() != y.mode.Type() {
		return []string{"kind"}, nil
	}
	var what []string
	if x.mode != y.mode {
		what = append(what, "mode")
	}
	if x.uid != y.uid || x.gid != y.gid {
		what = append(what, "owner")
	}
	rel := path.Join(".", name)
	more, err := c.differInside(rel, x, y)
	if err != nil {
		return nil, err
	}
	what = append(what, more...)
	if x.inode == y.inode {
		return what, nil
	}
	one, err := xattrs(c.a.roots[x.layer], rel)
	if err != nil {
		return nil, err
	}
	two, err := xattrs(c.b.roots[y.layer], rel)
	if err != nil {
		return nil, err
	}
	if !maps.Equal(one, two) {
		what = append(what, "attributes")
	}
	return what, nil
}

// differInside compares what a file is for.
func (c *comparison) differInside(rel string, x, y *node) ([]string, error) {
	switch {
	case x.mode.IsRegular():
		if x.size == y.size {
			same, err := c.sameBytes(rel, x, y)
			if same || err != nil {
				return nil, err
			}
		}
		return []string{"content"}, nil
	case x.mode&fs.ModeSymlink != 0:
		one, err := c.a.roots[x.layer].Readlink(rel)
		if err != nil {
			return nil, err
		}
		two, err := c.b.roots[y.layer].Readlink(rel)
		if err != nil || one == two {
			return nil, err
		}
		return []string{"target"}, nil
	case x.mode&fs.ModeDevice != 0 && x.rdev != y.rdev:
		return []string{"device"}, nil
	}
	return nil, nil
}

func (c *comparison) sameBytes(rel string, x, y *node) (bool, error) {
	f, err := c.a.roots[x.layer].Open(rel)
	if err != nil {
		return false, err
	}
	defer f.Close()
	g, err := c.b.roots[y.layer].Open(rel)
	if err != nil {
		return false, err
	}
	defer g.Close()
	one, two := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(f, one)
		m, err2 := io.ReadFull(g, two)
		if !bytes.Equal(one[:n], two[:m]) {
			return false, nil
		}
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if ended || err != nil {
			if ended {
				err = nil
			}
			return err == nil, errors.Join(err, unlessEnd(err2))
		}
		if err2 != nil {
			return false, unlessEnd(err2)
		}
	}
}

func unlessEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
