package volume

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/sys/mount"
)

func TestOptions(t *testing.T) {
	for _, tc := range []struct {
		options map[string]string
		err     string
	}{
		{nil, ""}, {map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, ""}, {map[string]string{"type": "nfs", "device": ":/x"}, ""},
		{map[string]string{"size": "10m"}, ""},
		{map[string]string{"mountpoint": "/x"}, `invalid option: "mountpoint"`},
		{map[string]string{"type": "tmpfs"}, `missing required option: "device"`},
		{map[string]string{"device": "tmpfs"}, `missing required option: "type"`},
		{map[string]string{"o": "size=1m"}, `missing required option: "device"`},
		{map[string]string{"type": "cifs", "device": "//host:445/x"}, "port not allowed in CIFS device URL, include 'port' in 'o='"},
		{map[string]string{"size": "big"}, `invalid option: size "big" is not a size such as 10G`},
	} {
		err := CheckOptions(tc.options)
		if text := ""; err != nil {
			text = err.Error()
			if !errdefs.IsInvalidArgument(err) || text != tc.err {
				t.Errorf("%v: %v, want %s", tc.options, err, tc.err)
			}
		} else if tc.err != "" {
			t.Errorf("%v: no error, want %s", tc.options, tc.err)
		}
	}
	if err := CheckDriver("ceph"); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
}

func isPoint(t *testing.T, v Volume) bool {
	t.Helper()
	there, err := mount.IsPoint(v.Path)
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// filesystem is a file with an ext4 in it.
func filesystem(t *testing.T) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "fs.img")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 4<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("/sbin/mkfs.ext4", "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return image
}

// A filesystem is mounted from the first use to the last, whatever engine began it.
func TestMountedWhileUsed(t *testing.T) {
	dir, image := t.TempDir(), filesystem(t)
	source := filepath.Join(dir, "source")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		options map[string]string
		stays   bool // what is written is there at the next use
	}{
		{"tmpfs", map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=7"}, false},
		{"bind", map[string]string{"type": "none", "device": source, "o": "bind"}, true},
		{"ext4", map[string]string{"type": "ext4", "device": image, "o": "loop"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := filepath.Join(dir, tc.name)
			s := open(t, root)
			v, _, err := s.Create(Request{Name: "vol", Options: tc.options})
			if err != nil || isPoint(t, v) {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unmountFilesystem(v) })
			use := func(user string) {
				if err := s.Mount(t.Context(), "vol", user); err != nil {
					t.Fatal(err)
				}
			}
			end := func(user string) {
				if err := s.Unmount("vol", user); err != nil {
					t.Fatal(err)
				}
			}
			use("a")
			use("a")
			use("b")
			if err := os.WriteFile(filepath.Join(v.Path, "f"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			end("a")
			if !isPoint(t, v) {
				t.Error("it is not mounted for b")
			}
			s = open(t, root) // another engine, to which b is told
			if err := s.Keep("vol", "b"); err != nil {
				t.Fatal(err)
			}
			s.Tidy()
			if !isPoint(t, v) {
				t.Error("it is not mounted after a restart")
			}
			end("b")
			end("b")
			if isPoint(t, v) {
				t.Error("it is still mounted")
			}
			use("c")
			if _, err := os.Stat(filepath.Join(v.Path, "f")); (err == nil) != tc.stays {
				t.Error(err)
			}
			s = open(t, root) // c ended with the engine
			s.Tidy()
			if isPoint(t, v) {
				t.Error("it is still mounted after the engine's death")
			}
			use("d")
			if err := s.Remove("vol"); err != nil {
				t.Fatal(err)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(source, "f")); err != nil {
		t.Error("what a volume shows was deleted with it:", err)
	}
}

func TestMountFails(t *testing.T) {
	s := open(t, t.TempDir())
	for _, tc := range []struct{ fstype, device, o, want string }{
		{"none", "/no/such/dir", "bind", "failed to mount local volume: mount /no/such/dir at "},
		{"ext9", "/dev/null", "", "no such device"},
		{"cifs", "//127.0.0.1/x", "password=secret,addr=127.0.0.1", "password=********"},
	} {
		v, _, err := s.Create(Request{Name: "v-" + tc.fstype, Options: map[string]string{"type": tc.fstype, "device": tc.device, "o": tc.o}})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Mount(t.Context(), v.Name, "c")
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "error while mounting volume '"+v.Path+"': ") || strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
		if isPoint(t, v) {
			t.Error("something is mounted")
		}
	}
}
