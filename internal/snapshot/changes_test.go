package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// grow makes files below a new directory: "dir/" a directory, "!name" a
// whiteout, "dir/*" an opaque directory, "name>target" a link.
func grow(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		var err error
		base := filepath.Base(name)
		path := filepath.Join(dir, name)
		link, target, isLink := strings.Cut(name, ">")
		switch {
		case strings.HasSuffix(name, "/*"):
			path = filepath.Dir(path)
			err = errors.Join(os.MkdirAll(path, 0o755), syscall.Setxattr(path, "trusted.overlay.opaque", []byte("y"), 0))
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case isLink:
			err = os.Symlink(target, filepath.Join(dir, link))
		case strings.HasPrefix(base, "!"):
			path = filepath.Join(filepath.Dir(path), base[1:])
			err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), syscall.Mknod(path, syscall.S_IFCHR, 0))
		default:
			err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(name), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestChanges(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for whiteouts")
	}
	outside := grow(t, "secret")
	base := grow(t, "etc/a", "etc/b", "opaque/old", "opaque/both", "file", "was-dir/in", "hidden/x", "out>"+outside)
	middle := grow(t, "etc/!b", "etc/c", "hidden/*", "hidden/y", "was-file")
	for _, row := range []struct {
		name, upper, want string
	}{
		{"nothing", "", ""},
		{"added", "new/deep/file", "A /new,A /new/deep,A /new/deep/file"},
		{"modified", "etc/a", "C /etc,C /etc/a"},
		{"what a layer below had deleted is new", "etc/b", "C /etc,A /etc/b"},
		{"deleted", "etc/!c !file", "C /etc,D /etc/c,D /file"},
		{"a whiteout of nothing", "!nothing", ""},
		{"opaque", "opaque/* opaque/both opaque/new", "C /opaque,C /opaque/both,A /opaque/new,D /opaque/old"},
		{"through an opaque directory below", "hidden/x hidden/y", "C /hidden,A /hidden/x,C /hidden/y"},
		{"a directory becomes a file", "was-dir", "C /was-dir"},
		{"a file becomes a directory", "was-file/in", "C /was-file,A /was-file/in"},
		{"a link out of the layer is not followed", "out/secret", "C /out,A /out/secret"},
	} {
		t.Run(row.name, func(t *testing.T) {
			changes, err := Changes(grow(t, strings.Fields(row.upper)...), []string{middle, base})
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, c := range changes {
				lines = append(lines, "CAD"[c.Kind:c.Kind+1]+" "+c.Path)
			}
			if got := strings.Join(lines, ","); got != row.want {
				t.Errorf("%s\nwant %s", got, row.want)
			}
		})
	}
}
