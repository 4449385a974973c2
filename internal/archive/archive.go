// Package archive carries files between containers and tar streams.
//
// Everything is done with the container's root as the root of the thread, so a
// container that swaps its paths meanwhile can show other files of its own and
// none of the host. An archive that breaks off leaves what was unpacked until
// then.
package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	goarchive "github.com/moby/go-archive"
	"github.com/moby/sys/user"

	"github.com/berth-containers/berth/internal/runtime/passwd"
	"github.com/berth-containers/berth/internal/snapshot/layer"
	"github.com/berth-containers/berth/internal/sys/userns"
	"github.com/berth-containers/berth/internal/sys/within"
)

// Stat is what is at a path.
type Stat struct {
	Name   string
	Size   int64
	Mode   fs.FileMode
	Time   time.Time
	Target string // of a link, as an absolute path where it leads
}

// Place is a path in the mount namespace of a container.
type Place struct {
	Mounts *os.File
	Path   string
	// Users is the ID map of the container's user namespace: archives have the IDs
	// that the container knows.
	Users userns.Map
}

// identities is an ID map as archives take it.
func identities(m userns.Map) user.IdentityMapping {
	if m.IsHost() {
		return user.IdentityMapping{}
	}
	list := func(ranges []userns.Range) (ids []user.IDMap) {
		for _, r := range ranges {
			ids = append(ids, user.IDMap{ID: int64(r.Inside), ParentID: int64(r.Outside), Count: int64(r.Count)})
		}
		return ids
	}
	return user.IdentityMapping{UIDMaps: list(m.UIDs), GIDMaps: list(m.GIDs)}
}

// clean is the path from the root, with the trailing "/" or "/." that asks for a
// directory or its content.
func (p Place) clean() string {
	return goarchive.PreserveTrailingDotOrSeparator(path.Join("/", p.Path), p.Path)
}

// Look returns what is at the place; a link itself, unless the path ends with
// a slash. ErrNotFound names the path.
func Look(p Place) (s Stat, err error) {
	err = within.Mounts(p.Mounts, func() error {
		s, err = look(p.clean())
		return err
	})
	return s, err
}

func look(name string) (Stat, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return Stat{}, explain(name, err)
	}
	s := Stat{Name: filepath.Base(name), Size: info.Size(), Mode: info.Mode(), Time: info.ModTime()}
	if info.Mode()&os.ModeSymlink != 0 {
		if s.Target, err = follow(name); err != nil {
			return Stat{}, explain(name, err)
		}
	}
	return s, nil
}

// follow is where a link leads; of one that leads nowhere, what it says.
func follow(name string) (string, error) {
	target, err := filepath.EvalSymlinks(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return target, err
	}
	if target, err = os.Readlink(name); err != nil || path.IsAbs(target) {
		return target, err
	}
	return path.Join(path.Dir(name), target), nil
}

func explain(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("Could not find the file %s in the container", name))
	case errors.Is(err, syscall.ENOTDIR):
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s in the container is not a directory", name))
	}
	return err
}

// Pack writes what s says is at the place as a tar stream whose first element is
// the last one of the path. It returns when all was written or w fails.
func Pack(p Place, s Stat, w io.Writer) error {
	name := p.clean()
	dir, base := name, "."
	if !s.Mode.IsDir() {
		dir, base = goarchive.SplitPathDirEntry(name)
	}
	last := "." // the content only
	if !strings.HasSuffix(name, "/.") {
		last = path.Base(name)
	}
	options := goarchive.TarResourceRebaseOpts(base, last)
	options.IDMap = identities(p.Users)
	return pack(dir, options, w, func(do func() error) error { return within.Mounts(p.Mounts, do) })
}

// Export writes the root filesystem of the place, whatever its path, without what
// is mounted on it.
func Export(p Place, w io.Writer) error {
	return pack("/", &goarchive.TarOptions{IDMap: identities(p.Users)}, w, func(do func() error) error { return within.Root(p.Mounts, do) })
}

// Fill copies the content of a directory of the root filesystem behind ns,
// without what is mounted on it, into the directory to, which gets its owner and
// mode. ErrNotFound if there is no such directory.
func Fill(ns *os.File, dir, to string) error {
	var st syscall.Stat_t
	err := within.Root(ns, func() (err error) {
		if dir, err = filepath.EvalSymlinks(path.Join("/", dir)); err == nil {
			err = syscall.Stat(dir, &st)
		}
		if err == nil && st.Mode&syscall.S_IFMT != syscall.S_IFDIR {
			err = fs.ErrNotExist
		}
		return err
	})
	if err != nil {
		return explain(dir, err)
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := pack(dir, &goarchive.TarOptions{}, w, func(do func() error) error { return within.Root(ns, do) })
		w.CloseWithError(err)
		packed <- err
	}()
	err = goarchive.Unpack(r, to, &goarchive.TarOptions{})
	r.CloseWithError(err)
	if err = errors.Join(err, <-packed); err != nil {
		return fmt.Errorf("copy %s: %w", dir, err)
	}
	return errors.Join(os.Chown(to, int(st.Uid), int(st.Gid)), syscall.Chmod(to, st.Mode&0o7777))
}

// Layer writes the upper directory of an overlay as a layer, with whiteouts.
func Layer(upper string, w io.Writer) error {
	options := &goarchive.TarOptions{WhiteoutFormat: goarchive.OverlayWhiteoutFormat}
	return pack("/", options, w, func(do func() error) error { return within.Directory(upper, do) })
}

func pack(dir string, options *goarchive.TarOptions, w io.Writer, inside func(func() error) error) error {
	t, err := goarchive.NewTarballer(dir, options)
	if err != nil {
		return err
	}
	r := t.Reader()
	entered := make(chan error, 1)
	go func() {
		entered <- inside(func() error { t.Do(); return nil })
		r.Close() // if it was never done
	}()
	_, err = io.Copy(w, r)
	if errors.Is(err, io.ErrClosedPipe) {
		err = nil
	}
	r.Close()
	return errors.Join(err, <-entered)
}

// Options of Unpack.
type Options struct {
	// KeepKinds refuses to replace a directory by something else, or the reverse.
	KeepKinds bool
	// User, if set, is whom all files are given to, by a name or number of the
	// container, in place of the owners in the archive.
	User string
	// Allowed is asked with the directory that the path leads to.
	Allowed func(dir string) error
}

// Unpack puts a tar stream, which may be packed, into the directory at the place.
func Unpack(p Place, r io.Reader, o Options) error {
	// Here and not inside, where nothing may be executed.
	plain, err := layer.Decompress(r)
	if err != nil {
		return err
	}
	defer plain.Close()
	// The container's /proc may be masked or missing.
	options, done, err := goarchive.WithProcSelfFD(&goarchive.TarOptions{NoOverwriteDirNonDir: o.KeepKinds, IDMap: identities(p.Users)})
	if err != nil {
		return err
	}
	defer done()
	return within.Mounts(p.Mounts, func() error {
		dir, err := p.directory()
		if err != nil {
			return err
		}
		if err := o.Allowed(dir); err != nil {
			return err
		}
		if o.User != "" {
			if options.ChownOpts, err = owner(o.User, options.IDMap); err != nil {
				return err
			}
		}
		if !options.IDMap.Empty() {
			if err := within.As(options.IDMap.RootPair()); err != nil {
				return err
			}
		}
		syscall.Umask(0) // of this thread
		if err := goarchive.Unpack(plain, dir, options); err != nil {
			return unpackError(err)
		}
		return nil
	})
}

// directory is where the path leads, which must be a directory.
func (p Place) directory() (string, error) {
	name := path.Join("/", p.Path)
	dir, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", explain(name, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", explain(name, err)
	}
	if !info.IsDir() {
		return "", errdefs.ErrInvalidArgument.WithMessage("extraction point is not a directory: " + name)
	}
	return dir, nil
}

func owner(name string, ids user.IdentityMapping) (*goarchive.ChownOpts, error) {
	users, err := passwd.ReadFile("/etc/passwd")
	if err != nil {
		return nil, fmt.Errorf("read the container's users: %w", err)
	}
	groups, err := passwd.ReadFile("/etc/group")
	if err != nil {
		return nil, fmt.Errorf("read the container's groups: %w", err)
	}
	u, err := passwd.Lookup(name, users, groups)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	uid, gid, err := ids.ToHost(int(u.UID), int(u.GID))
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("user %s is not in the container's ID map: %v", name, err))
	}
	return &goarchive.ChownOpts{UID: uid, GID: gid}, nil
}

func unpackError(err error) error {
	text := err.Error()
	if errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(text, "archive/tar") || strings.Contains(text, "cannot overwrite") || strings.Contains(text, "invalid entry name") {
		return errdefs.ErrInvalidArgument.WithMessage("unpack the archive: " + text)
	}
	return fmt.Errorf("unpack the archive: %w", err)
}
