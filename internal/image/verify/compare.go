package verify

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	continuity "github.com/containerd/continuity/fs"
	"github.com/containerd/continuity/sysx"
)

// most is how many differences of one layer are told one by one.
const most = 5

// compare tells in what the directory of an unpacked layer is not what the tar
// says. Times are not compared. The error is the tar's.
func compare(dir string, r io.Reader) ([]string, error) {
	c := comparison{dir: dir, found: map[string]string{}, parents: map[string]bool{".": true}}
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := c.entry(h, in); err != nil {
			return nil, err
		}
	}
	c.extras()
	return c.told(), nil
}

type comparison struct {
	dir string
	// found is what is wrong with each name of the layer, "" if nothing is. Of a
	// name that comes twice the last one counts.
	found   map[string]string
	parents map[string]bool
	extra   []string
}

func (c *comparison) entry(h *tar.Header, body io.Reader) error {
	name := c.resolve(h.Name)
	base := path.Base(name)
	if hidden, ok := strings.CutPrefix(base, ".wh."); ok && name != "." {
		c.whiteout(path.Dir(name), hidden)
		return nil
	}
	if h.Typeflag != tar.TypeDir {
		c.replace(name)
	}
	if h.Typeflag == tar.TypeLink {
		// One to a file of a layer below brings that file into this layer.
		if target := c.resolve(h.Linkname); !c.known(target) {
			c.found[target] = ""
			c.pass(target)
		}
	}
	text, err := c.check(name, h, body)
	c.found[name] = text
	c.pass(name)
	return err
}

// resolve is where an entry is: directories on the way may be links.
func (c *comparison) resolve(name string) string {
	clean := path.Clean("/" + name)
	parent, err := continuity.RootPath(c.dir, path.Dir(clean))
	if err != nil || clean == "/" {
		return path.Join(".", clean)
	}
	rel, err := filepath.Rel(c.dir, parent)
	if err != nil {
		return path.Join(".", clean)
	}
	return path.Join(rel, path.Base(clean))
}

func (c *comparison) known(name string) bool {
	_, known := c.found[name]
	return known
}

// replace forgets what was below a directory that something else replaces.
func (c *comparison) replace(name string) {
	if !c.parents[name] {
		return
	}
	delete(c.parents, name)
	for other := range c.found {
		if strings.HasPrefix(other, name+"/") {
			delete(c.found, other)
		}
	}
}

func (c *comparison) pass(name string) {
	for p := path.Dir(name); !c.parents[p]; p = path.Dir(p) {
		c.parents[p] = true
	}
}

func (c *comparison) whiteout(dir, hidden string) {
	switch {
	case hidden == ".wh..opq":
		if v, err := sysx.LGetxattr(filepath.Join(c.dir, dir), "trusted.overlay.opaque"); err != nil || string(v) != "y" {
			c.found[path.Join(dir, ".wh..wh..opq")] = "the directory shows what the layer hides"
		}
		c.pass(path.Join(dir, "x"))
		return
	case strings.HasPrefix(hidden, ".wh."):
		return // aufs's own bookkeeping
	}
	name := path.Join(dir, hidden)
	c.pass(name)
	if c.known(name) {
		return // the layer has it and hides only what is below
	}
	c.found[name] = ""
	info, err := os.Lstat(filepath.Join(c.dir, name))
	switch {
	case err != nil:
		c.found[name] = "the whiteout is missing"
	case info.IsDir() || isWhiteout(info):
	default:
		c.found[name] = "it is " + kind(info.Mode()) + ", not a whiteout"
	}
}

func isWhiteout(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode()&fs.ModeCharDevice != 0 && st.Rdev == 0
}

// check compares one entry with the file of its name.
func (c *comparison) check(name string, h *tar.Header, body io.Reader) (string, error) {
	at := filepath.Join(c.dir, name)
	info, err := os.Lstat(at)
	if err != nil {
		return "it is missing", nil //nolint:nilerr // that is the finding
	}
	if h.Typeflag == tar.TypeLink {
		if info.IsDir() {
			return "it is a directory, not a file", nil
		}
		return "", nil
	}
	want := h.FileInfo().Mode()
	if want.Type() != info.Mode().Type() {
		return "it is " + kind(info.Mode()) + ", not " + kind(want), nil
	}
	st := info.Sys().(*syscall.Stat_t)
	switch {
	case int(st.Uid) != h.Uid || int(st.Gid) != h.Gid:
		return fmt.Sprintf("its owner is %d:%d, not %d:%d", st.Uid, st.Gid, h.Uid, h.Gid), nil
	case want != info.Mode() && want.Type() != fs.ModeSymlink:
		return fmt.Sprintf("its mode is %v, not %v", info.Mode(), want), nil
	}
	if text := attributes(at, h); text != "" {
		return text, nil
	}
	switch want.Type() {
	case fs.ModeSymlink:
		if target, err := os.Readlink(at); err != nil || target != h.Linkname {
			return fmt.Sprintf("it leads to %q, not %q", target, h.Linkname), nil
		}
	case 0:
		return content(at, info, h, body)
	}
	return "", nil
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "a file"
	case m.IsDir():
		return "a directory"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	}
	return "a device, pipe or socket"
}

func attributes(at string, h *tar.Header) string {
	for key, want := range h.PAXRecords {
		attr, ok := strings.CutPrefix(key, "SCHILY.xattr.")
		if !ok || strings.HasPrefix(attr, "trusted.overlay.") {
			continue
		}
		got, err := sysx.LGetxattr(at, attr)
		if errors.Is(err, syscall.ENOTSUP) {
			continue // nor could it be written
		}
		if err != nil || string(got) != want {
			return "its attribute " + attr + " is another"
		}
	}
	return ""
}

// content compares the bytes; the error is the tar's.
func content(at string, info fs.FileInfo, h *tar.Header, body io.Reader) (string, error) {
	if info.Size() != h.Size {
		return fmt.Sprintf("it has %d bytes, not %d", info.Size(), h.Size), nil
	}
	f, err := os.Open(at)
	if err != nil {
		return fmt.Sprintf("it cannot be read: %v", err), nil
	}
	defer f.Close()
	is := bufio.NewReaderSize(f, 64<<10)
	should := make([]byte, 64<<10)
	have := make([]byte, len(should))
	for {
		n, err := io.ReadFull(body, should)
		if _, readErr := io.ReadFull(is, have[:n]); readErr != nil {
			return fmt.Sprintf("it cannot be read: %v", readErr), nil
		}
		if !bytes.Equal(should[:n], have[:n]) {
			return "its content is another", nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
	}
}

// extras finds what is in the directory but not in the layer.
func (c *comparison) extras() {
	_ = filepath.WalkDir(c.dir, func(at string, d fs.DirEntry, err error) error {
		name, relErr := filepath.Rel(c.dir, at)
		if err = errors.Join(err, relErr); err != nil {
			c.extra = append(c.extra, fmt.Sprintf("/%s cannot be read: %v", name, err))
			return nil
		}
		if c.known(name) || c.parents[name] {
			return nil
		}
		c.extra = append(c.extra, "/"+name+" is no part of the layer")
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

// told is what was found, in the order of the names, not all of it if it is much.
func (c *comparison) told() []string {
	var all []string
	for name, text := range c.found {
		if text != "" {
			all = append(all, fmt.Sprintf("/%s: %s", name, text))
		}
	}
	slices.Sort(all)
	all = append(all, c.extra...)
	if len(all) > most {
		return append(all[:most:most], fmt.Sprintf("and %d more differences", len(all)-most))
	}
	return all
}
