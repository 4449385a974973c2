package runtime_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A directory of a bind is mounted, whatever links lie there: they lead nowhere
// but below the source.
func TestSubdirOfBind(t *testing.T) {
	dir := t.TempDir()
	volume := filepath.Join(dir, "volume")
	mustDo(t, os.MkdirAll(filepath.Join(volume, "a/b"), 0o755), os.WriteFile(filepath.Join(volume, "a/b/f"), []byte("deep\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "secret"), []byte("secret\n"), 0o644), os.Symlink("a/b", filepath.Join(volume, "in")),
		os.Symlink("/", filepath.Join(volume, "root")), os.Symlink("../", filepath.Join(volume, "up")), os.Symlink(dir, filepath.Join(volume, "abs")))
	for _, tc := range []struct{ subdir, script, want string }{
		{"a", "cat /m/b/f", "deep"}, {"in", "cat /m/f", "deep"}, {"a/b/f", "cat /m", "deep"}, {"a/../in", "cat /m/f", "deep"},
		{"root", "", "escapes the base directory"}, {"up", "", "escapes the base directory"}, {"abs/volume", "", "escapes the base directory"},
		{"../secret", "", "escapes the base directory"}, {"none", "", "cannot access path"}, {"a/b/f/x", "", "cannot access path"},
	} {
		s := spec("sh", "-c", tc.script)
		s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: volume, Destination: "/m", Options: []string{"rbind", "X-mount.subdir=" + tc.subdir}})
		out, _, err := run(t, s, rootfs(t))
		if err != nil {
			out = err.Error()
		}
		if !strings.Contains(out, tc.want) {
			t.Errorf("%s: %q, want %q", tc.subdir, out, tc.want)
		}
	}
	s := spec("true")
	s.Mounts = append(s.Mounts, specs.Mount{Type: "tmpfs", Destination: "/m", Options: []string{"X-mount.subdir=a"}})
	if _, _, err := run(t, s, rootfs(t)); err == nil || !strings.Contains(err.Error(), "goes with a bind only") {
		t.Error(err)
	}
}

// stackMount mounts another root read-only at /m.
func stackMount(t *testing.T, options ...string) specs.Mount {
	r := rootfs(t)
	over := t.TempDir()
	mustDo(t, os.Mkdir(filepath.Join(over, "etc"), 0o755), os.WriteFile(filepath.Join(over, "etc/over"), []byte("over\n"), 0o644), os.Symlink("/etc", filepath.Join(over, "abs")))
	options = append(options, "lowerdir+="+over, "ro", "rprivate")
	for _, l := range r.Lowers {
		options = append(options, "lowerdir+="+l)
	}
	return specs.Mount{Type: "overlay", Source: "overlay", Destination: "/m", Options: append(options, "upperdir="+r.Upper, "workdir="+r.Work)}
}

func TestLayersAreMounted(t *testing.T) {
	for _, tc := range []struct {
		name    string
		options []string
		script  string
		want    string
	}{
		{"whole", nil, "cat /m/etc/over; test -f /m/etc/passwd && echo below; touch /m/x 2>&1", "over\nbelow\ntouch: /m/x: Read-only file system"},
		{"directory", []string{"X-mount.subdir=etc"}, "cat /m/over; touch /m/x 2>&1", "over\ntouch: /m/x: Read-only file system"},
		{"file", []string{"X-mount.subdir=etc/over"}, "cat /m", "over"},
		{"link out", []string{"X-mount.subdir=abs"}, "", "escapes the base directory"},
		{"option of an overlay", []string{"metacopy=on"}, "", "not \"metacopy=on\""},
	} {
		for _, users := range []bool{false, true} {
			s := spec("sh", "-c", tc.script)
			options := tc.options
			if users {
				inUsers(s)
				options = append([]string{"idmap"}, options...)
				s.Process.Args[2] = "stat -c '%u %g' /m; " + tc.script
			}
			s.Mounts = append(s.Mounts, stackMount(t, options...))
			out, _, err := run(t, s, rootfs(t))
			want := tc.want
			if err != nil {
				skipWithoutIDMaps(t, err)
				out = err.Error()
			} else if users {
				want = "0 0\n" + want
			}
			if !strings.Contains(out, want) {
				t.Errorf("%s, users %v: %q, want %q", tc.name, users, out, want)
			}
		}
	}
}
