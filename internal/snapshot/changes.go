package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/continuity/sysx"
)

// Kind is what happened to a path.
type Kind int

// The kinds, as Docker counts them.
const (
	Modified Kind = iota
	Added
	Deleted
)

// Change is one path that a writable layer changed.
type Change struct {
	Path string // absolute
	Kind Kind
}

// Changes compares the writable layer upper with the layers below it, the
// topmost first. A container may go on writing; no link leads out of a layer.
func Changes(upper string, lowers []string) ([]Change, error) {
	c := comparison{}
	defer c.close()
	var err error
	if c.upper, err = os.OpenRoot(upper); err != nil {
		return nil, err
	}
	for _, dir := range lowers {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		c.lowers = append(c.lowers, root)
	}
	if err := c.compare(".", c.lowers); err != nil {
		return nil, err
	}
	slices.SortFunc(c.found, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return c.found, nil
}

type comparison struct {
	upper  *os.Root
	lowers []*os.Root
	found  []Change
}

func (c *comparison) close() {
	for _, r := range append(c.lowers, c.upper) {
		if r != nil {
			r.Close()
		}
	}
}

func (c *comparison) add(name string, kind Kind) {
	c.found = append(c.found, Change{Path: path.Join("/", name), Kind: kind})
}

// compare goes through the directory dir of the upper layer; merged are the
// lower layers whose directory of that name is seen through it.
func (c *comparison) compare(dir string, merged []*os.Root) error {
	f, err := c.upper.Open(dir)
	if gone(err) {
		return nil // since it was listed
	}
	if err != nil {
		return err
	}
	entries, err := f.ReadDir(-1)
	f.Close()
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		info, err := c.upper.Lstat(name)
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		below := lookup(merged, name)
		switch {
		case whiteout(info) && below != nil:
			c.add(name, Deleted)
			continue
		case whiteout(info):
			continue
		case below != nil:
			c.add(name, Modified)
		default:
			c.add(name, Added)
		}
		if !info.IsDir() {
			continue
		}
		next := through(merged, name)
		if opaque(c.upper, name) {
			if err := c.hidden(name, next); err != nil {
				return err
			}
		}
		if err := c.compare(name, next); err != nil {
			return err
		}
	}
	return nil
}

// hidden notes what an opaque directory took away.
func (c *comparison) hidden(dir string, merged []*os.Root) error {
	seen := map[string]bool{}
	for _, layer := range merged {
		f, err := layer.Open(dir)
		if err != nil {
			return err
		}
		names, err := f.Readdirnames(-1)
		f.Close()
		if err != nil {
			return err
		}
		for _, n := range names {
			name := path.Join(dir, n)
			if seen[name] || lookup(merged, name) == nil {
				continue
			}
			seen[name] = true
			if _, err := c.upper.Lstat(name); gone(err) {
				c.add(name, Deleted)
			}
		}
	}
	return nil
}

// lookup is what name is in the topmost layer that says something about it.
func lookup(layers []*os.Root, name string) fs.FileInfo {
	for _, l := range layers {
		info, err := l.Lstat(name)
		if err != nil {
			continue
		}
		if whiteout(info) {
			return nil
		}
		return info
	}
	return nil
}

// through are the layers whose directory name is seen through the topmost one.
func through(layers []*os.Root, name string) []*os.Root {
	var seen []*os.Root
	for _, l := range layers {
		info, err := l.Lstat(name)
		if err != nil {
			continue
		}
		if !info.IsDir() {
			break
		}
		seen = append(seen, l)
		if opaque(l, name) {
			break
		}
	}
	return seen
}

func whiteout(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode()&fs.ModeCharDevice != 0 && st.Rdev == 0
}

func opaque(root *os.Root, dir string) bool {
	f, err := root.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	v, err := sysx.Getxattr("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), "trusted.overlay.opaque")
	return err == nil && string(v) == "y"
}

func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }
