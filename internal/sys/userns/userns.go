// Package userns knows which IDs of the host the IDs of a user namespace are.
package userns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// Range is a row of an ID map: Count IDs from Inside on are those from Outside on.
type Range struct{ Inside, Outside, Count uint32 }

// Map is that of a user namespace; the zero value is the host's own.
type Map struct{ UIDs, GIDs []Range }

// Root is who the namespace's root is outside.
func (m Map) Root() (uid, gid int) { return m.Outside(0, 0) }

func outside(ranges []Range, id uint32) int {
	for _, r := range ranges {
		if id >= r.Inside && id-r.Inside < r.Count {
			return int(r.Outside + id - r.Inside)
		}
	}
	return int(id)
}

// IsHost is whether IDs are the same inside and outside.
func (m Map) IsHost() bool {
	same := func(ranges []Range) bool {
		for _, r := range ranges {
			if r.Inside != r.Outside {
				return false
			}
		}
		return true
	}
	return same(m.UIDs) && same(m.GIDs)
}

// Exchange maps each ID to itself, but a and b to each other.
func Exchange(a, b uint32) (list []Range) {
	low, high := min(a, b), max(a, b)
	add := func(inside, outside, count uint32) {
		if count > 0 {
			list = append(list, Range{inside, outside, count})
		}
	}
	const all = 1<<32 - 1 // the last one is no ID
	add(0, 0, low)
	add(low, high, 1)
	if low != high {
		add(low+1, low+1, high-low-1)
		add(high, low, 1)
	}
	add(high+1, high+1, all-high-1)
	return list
}

// Outside is who an ID of a user, or of a group, is outside.
func (m Map) Outside(uid, gid uint32) (int, int) { return outside(m.UIDs, uid), outside(m.GIDs, gid) }

// Of is the map of a process's user namespace.
func Of(pid int) (m Map, err error) {
	for _, file := range []struct {
		name string
		to   *[]Range
	}{{"uid_map", &m.UIDs}, {"gid_map", &m.GIDs}} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file.name))
		if err != nil {
			return Map{}, fmt.Errorf("read the ID map of process %d: %w", pid, err)
		}
		for line := range strings.Lines(string(text)) {
			var r Range
			if _, err := fmt.Sscan(line, &r.Inside, &r.Outside, &r.Count); err == nil {
				*file.to = append(*file.to, r)
			}
		}
	}
	return m, nil
}

// Default is who dockerd has its containers remapped to, without another name.
const Default = "dockremap"

// Files are where IDs are handed out to users.
type Files struct{ UIDs, GIDs string }

// System are the host's.
func System() Files { return Files{UIDs: "/etc/subuid", GIDs: "/etc/subgid"} }

// Find is the map of all subordinate IDs that are handed out to user[:group], by
// name or number; "default" is Default, who is handed some out if need be.
func Find(spec string, f Files) (Map, error) {
	name, group, _ := strings.Cut(spec, ":")
	if name == "default" {
		name = Default
		if err := handOut(f); err != nil {
			return Map{}, err
		}
	}
	if group == "" {
		group = name
	}
	if name == "" || name == "root" || name == "0" {
		return Map{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("userns-remap %q: name another user than root", spec))
	}
	uids, err := ranges(f.UIDs, name, lookupUser(name))
	if err != nil {
		return Map{}, err
	}
	gids, err := ranges(f.GIDs, group, lookupGroup(group))
	return Map{UIDs: uids, GIDs: gids}, err
}

// lookupUser is the other form of a user's name or number, "" if there is none.
func lookupUser(name string) string {
	if u, err := user.LookupId(name); err == nil {
		return u.Username
	}
	if u, err := user.Lookup(name); err == nil {
		return u.Uid
	}
	return ""
}

func lookupGroup(name string) string {
	if g, err := user.LookupGroupId(name); err == nil {
		return g.Name
	}
	if g, err := user.LookupGroup(name); err == nil {
		return g.Gid
	}
	return ""
}

// ranges joins all that the file has for either name, from 0 on.
func ranges(file, name, other string) ([]Range, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the subordinate IDs: %w", err)
	}
	var list []Range
	next := uint32(0)
	for _, e := range entries(text) {
		if e.name != name && (other == "" || e.name != other) {
			continue
		}
		list = append(list, Range{Inside: next, Outside: e.first, Count: e.count})
		next += e.count
	}
	if len(list) == 0 {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("userns-remap: no subordinate IDs for %q in %s; add a line such as %s:100000:65536", name, file, name))
	}
	return list, nil
}

type entry struct {
	name         string
	first, count uint32
}

// entries reads name:first:count; what makes no sense is left out.
func entries(text []byte) (list []entry) {
	for line := range bytes.Lines(text) {
		f := strings.Split(strings.TrimSpace(string(line)), ":")
		if len(f) != 3 || f[0] == "" || strings.HasPrefix(f[0], "#") {
			continue
		}
		first, errFirst := strconv.ParseUint(f[1], 10, 32)
		count, errCount := strconv.ParseUint(f[2], 10, 32)
		if errFirst == nil && errCount == nil && first > 0 && count > 0 && first+count <= 1<<32-1 {
			list = append(list, entry{f[0], uint32(first), uint32(count)})
		}
	}
	return list
}

const (
	firstFree = 100000 // below are users of the host
	handed    = 65536
)

// handOut gives Default a range that is nobody else's in either file, unless it
// has some.
func handOut(f Files) error {
	uids, errUIDs := os.ReadFile(f.UIDs)
	gids, errGIDs := os.ReadFile(f.GIDs)
	for _, err := range []error{errUIDs, errGIDs} {
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("read the subordinate IDs: %w", err)
		}
	}
	free := uint32(firstFree)
	for _, e := range append(entries(uids), entries(gids)...) {
		free = max(free, e.first+e.count)
	}
	if free > 1<<32-1-handed {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("userns-remap default: %s and %s leave no range of %d IDs free; give %s one", f.UIDs, f.GIDs, handed, Default))
	}
	line := fmt.Sprintf("%s:%d:%d\n", Default, free, handed)
	for _, file := range []struct {
		name string
		text []byte
	}{{f.UIDs, uids}, {f.GIDs, gids}} {
		if has(entries(file.text), Default) {
			continue
		}
		if err := appendLine(file.name, file.text, line); err != nil {
			return fmt.Errorf("hand subordinate IDs out to %s: %w", Default, err)
		}
	}
	return nil
}

func has(list []entry, name string) bool {
	for _, e := range list {
		if e.name == name {
			return true
		}
	}
	return false
}

func appendLine(file string, text []byte, line string) error {
	if len(text) > 0 && text[len(text)-1] != '\n' {
		line = "\n" + line
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}
