// Package systemd keeps containers' cgroups as systemd does: each is a transient
// unit, a scope below a slice, that systemd makes, limits and takes away when it
// is told to over D-Bus. What systemd has no property for is written by package
// cgroup afterwards; the scope is delegated, so systemd leaves that alone.
//
// A unit lives in systemd. After a crash it stays with its processes, and Stop of
// its name is all that is needed; an empty scope goes by itself.
package systemd

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
)

// Unit is where a container is to be: what "slice:prefix:name" says.
type Unit struct {
	Slice string // "" is that of Open's manager: system.slice or user.slice
	Name  string // with .scope or .slice
}

// Parse reads a cgroupsPath of the form slice:prefix:name. What a unit's name may
// not hold is escaped as \xNN.
func Parse(path string) (Unit, error) {
	parts := strings.Split(path, ":")
	if len(parts) != 3 {
		return Unit{}, invalid("cgroup path %q is not systemd's: give slice:prefix:name, such as system.slice:berth:web, or leave --systemd-cgroup out", path)
	}
	slice, prefix, name := parts[0], parts[1], parts[2]
	if name == "" {
		return Unit{}, invalid("cgroup path %q has no name after the second colon", path)
	}
	if slice != "" {
		if _, err := Expand(slice); err != nil {
			return Unit{}, err
		}
	}
	u := Unit{Slice: slice, Name: escape(name)}
	if !strings.HasSuffix(name, ".slice") {
		if prefix != "" {
			u.Name = escape(prefix) + "-" + u.Name
		}
		u.Name += ".scope"
	} else if _, err := Expand(u.Name); err != nil {
		return Unit{}, err
	}
	const longest = 255
	if len(u.Name) > longest {
		return Unit{}, invalid("cgroup path %q makes a unit's name of %d characters; systemd takes %d", path, len(u.Name), longest)
	}
	return u, nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// Expand is the path of a slice: each dash is a level, a-b.slice is in a.slice.
func Expand(slice string) (string, error) {
	name, ok := strings.CutSuffix(slice, ".slice")
	if !ok || name == "" || strings.Contains(name, "/") || escape(name) != name {
		return "", invalid("%q is not a slice's name, such as system.slice", slice)
	}
	if name == "-" {
		return "/", nil
	}
	var path strings.Builder
	above := ""
	for part := range strings.SplitSeq(name, "-") {
		if part == "" {
			return "", invalid("the slice %q has an empty part between its dashes", slice)
		}
		path.WriteString("/" + above + part + ".slice")
		above += part + "-"
	}
	return path.String(), nil
}

// escape writes what a unit's name may not hold as systemd-escape does, but for
// the slash and the dash, which it gives a meaning.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(":_.-@", c) >= 0:
			if i == 0 && c == '.' {
				fmt.Fprintf(&b, `\x%02x`, c)
				continue
			}
			b.WriteByte(c)
		case c == '\\' && isEscape(s[i:]): // escaped by the caller
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}

func isEscape(s string) bool {
	hex := func(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }
	return len(s) >= 4 && s[1] == 'x' && hex(s[2]) && hex(s[3])
}
