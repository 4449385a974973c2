// Package passwd looks users up in a container's own /etc/passwd and
// /etc/group, which anybody may have written: a line that makes no sense is
// passed over, and sizes are bounded.
package passwd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/mount"
)

// maxBytes is how much of a file is read.
const maxBytes = 4 << 20

// User is whom a process runs as.
type User struct {
	UID, GID uint32
	Groups   []uint32 // supplementary
	Home     string   // "/" if no entry says
}

// Unknown is the error for a name without an entry.
type Unknown struct{ What, Name, File string }

func (e *Unknown) Error() string {
	return fmt.Sprintf("unable to find %s %s: no matching entries in %s file", e.What, e.Name, e.File)
}

// Lookup finds "user[:group]", each by name or number; an empty user is
// number 0. A number needs no entry.
func Lookup(spec string, passwd, group []byte) (User, error) {
	name, groupName, explicit := strings.Cut(spec, ":")
	if name == "" {
		name = "0"
	}
	u := User{Home: "/"}
	entry, found := findUser(passwd, name)
	switch {
	case found:
		u.UID, u.GID, u.Home = entry.uid, entry.gid, entry.home
	default:
		id, err := parseID(name)
		if err != nil {
			return User{}, &Unknown{"user", name, "passwd"}
		}
		u.UID = id
	}
	if explicit && groupName != "" {
		gid, err := findGroup(group, groupName)
		if err != nil {
			return User{}, err
		}
		u.GID = gid
	} else if found {
		u.Groups = memberships(group, entry.name)
	}
	// A file may deny the primary group what others may do: it must stay a group
	// of the process whatever group that changes to.
	if !slices.Contains(u.Groups, u.GID) {
		u.Groups = append([]uint32{u.GID}, u.Groups...)
	}
	return u, nil
}

// Home is the home directory of uid, "/" if no entry says.
func Home(uid uint32, passwd []byte) string {
	if e, ok := findUser(passwd, strconv.FormatUint(uint64(uid), 10)); ok {
		return e.home
	}
	return "/"
}

type entry struct {
	name, home string
	uid, gid   uint32
}

// findUser finds by name, then by number: a name may look like one.
func findUser(file []byte, key string) (entry, bool) {
	var byID entry
	var found bool
	id, idErr := parseID(key)
	for line := range bytes.Lines(file) {
		f := fields(line)
		if len(f) < 4 {
			continue
		}
		uid, uidErr := parseID(f[2])
		gid, gidErr := parseID(f[3])
		if uidErr != nil || gidErr != nil {
			continue
		}
		e := entry{name: f[0], uid: uid, gid: gid, home: "/"}
		if len(f) > 5 && f[5] != "" {
			e.home = f[5]
		}
		if e.name == key {
			return e, true
		}
		if !found && idErr == nil && uid == id {
			byID, found = e, true
		}
	}
	return byID, found
}

func findGroup(file []byte, key string) (uint32, error) {
	for line := range bytes.Lines(file) {
		f := fields(line)
		if len(f) < 3 || f[0] != key {
			continue
		}
		if gid, err := parseID(f[2]); err == nil {
			return gid, nil
		}
	}
	gid, err := parseID(key)
	if err != nil {
		return 0, &Unknown{"group", key, "group"}
	}
	return gid, nil
}

func memberships(file []byte, name string) []uint32 {
	var gids []uint32
	for line := range bytes.Lines(file) {
		f := fields(line)
		if len(f) < 4 {
			continue
		}
		gid, err := parseID(f[2])
		if err != nil {
			continue
		}
		for _, member := range strings.Split(f[3], ",") {
			if member == name {
				gids = append(gids, gid)
				break
			}
		}
	}
	return gids
}

func fields(line []byte) []string {
	s := strings.TrimSpace(string(line))
	if s == "" || s[0] == '#' {
		return nil
	}
	return strings.Split(s, ":")
}

// parseID reads an ID of at most 31 bits; more would mean "leave it" or
// "nobody" to some system calls.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return uint32(n), err
}

// ReadFile reads a file of the container's; nothing if it is not there or not
// a regular file.
func ReadFile(path string) ([]byte, error) {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	// A pipe in its place must not hold us up, nor a link of /proc lead to a
	// descriptor of ours.
	fd, err := mount.OpenIn(root, path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, maxBytes))
}
