package runtime_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime"
)

// attempts is how many containers are made against each attacker.
const attempts = 30

// exchange swaps two names again and again, as another container of the same
// volume could, until the test is over.
func exchange(t *testing.T, a, b string) {
	t.Helper()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
					failed = fmt.Errorf("exchange %s and %s: %w", a, b, err)
					return
				}
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		wg.Wait()
		if failed != nil {
			t.Error(failed)
		}
	})
}

func mustDo(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// race makes containers and gives what each wrote to check. A refusal is as good
// as a container that is right.
func race(t *testing.T, create func() runtime.CreateOptions, check func(out string)) {
	t.Helper()
	made := 0
	for range attempts {
		out, _, err := runOptions(t, create())
		if err == nil {
			made++
			check(out)
		}
	}
	t.Logf("%d of %d were made", made, attempts)
}

// CVE-2021-30465: a volume's directory becomes a link out of the root while
// mount points are made in it.
func TestRaceMountPoint(t *testing.T) {
	volume, outside := t.TempDir(), t.TempDir()
	dir, link := filepath.Join(volume, "dir"), filepath.Join(volume, "link")
	marker := filepath.Join(t.TempDir(), "the-marked-source")
	mustDo(t, os.Mkdir(dir, 0o755), os.Mkdir(marker, 0o755), os.Symlink(strings.Repeat("../", 20)+outside[1:], link))
	root := rootfs(t)
	exchange(t, dir, link)
	s := spec("grep", "-c", " /.*the-marked-source", "/proc/self/mountinfo")
	s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: volume, Destination: "/v", Options: []string{"rbind"}},
		specs.Mount{Type: "bind", Source: marker, Destination: "/v/dir/made", Options: []string{"rbind"}})
	race(t, func() runtime.CreateOptions { return runtime.CreateOptions{ID: "race", Spec: s, Rootfs: root} }, func(out string) {
		if out != "1\n" {
			t.Errorf("the mount is not in the container: %q", out)
		}
	})
	if got := listing(t, outside); got != "" {
		t.Errorf("made outside: %s", got)
	}
}

// CVE-2025-31133: what masks must be the host's null device, whatever the
// container's /dev/null is at that moment.
func TestRaceMaskSource(t *testing.T) {
	dev := t.TempDir()
	null, link := filepath.Join(dev, "null"), filepath.Join(dev, "x")
	mustDo(t, unix.Mknod(null, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), os.Symlink("/proc/sys/kernel/core_pattern", link))
	root := rootfs(t)
	exchange(t, null, link)
	s := spec("sh", "-c", "cat /proc/keys /proc/timer_list; stat -c '%t %T' /proc/keys")
	s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: dev, Destination: "/dev", Options: []string{"bind"}})
	withoutMounts(s, "/dev/pts", "/dev/shm", "/dev/mqueue")
	race(t, func() runtime.CreateOptions { return runtime.CreateOptions{ID: "race", Spec: s, Rootfs: root} }, func(out string) {
		if out != "1 3\n" {
			t.Errorf("masked by something else: %q", out)
		}
	})
}

// bundleRoot is a root directory that others can write to while containers are
// made of it.
func bundleRoot(t *testing.T) (bundle, root string) {
	t.Helper()
	bundle = t.TempDir()
	root = filepath.Join(bundle, "root")
	mustDo(t, os.CopyFS(root, os.DirFS(layer)))
	return bundle, root
}

// CVE-2019-19921 and CVE-2023-27561: /proc becomes a link into a volume between
// its mount and the masks. The real one must not be seen unmasked anywhere.
func TestRaceProc(t *testing.T) {
	bundle, root := bundleRoot(t)
	mustDo(t, os.MkdirAll(filepath.Join(root, "fake/sys"), 0o755), os.WriteFile(filepath.Join(root, "fake/keys"), nil, 0o644), os.Symlink("fake", filepath.Join(root, "other")))
	exchange(t, filepath.Join(root, "proc"), filepath.Join(root, "other"))
	s := spec("sh", "-c", `for p in /proc /other; do cd $p && test -e self/status && stat -c '%t %T' keys; done 2>/dev/null; true`)
	s.Root = &specs.Root{Path: "root"}
	s.Linux.MaskedPaths = []string{"/proc/keys"}
	race(t, func() runtime.CreateOptions { return runtime.CreateOptions{ID: "race", Spec: s, Bundle: bundle} }, func(out string) {
		for line := range strings.Lines(out) {
			if line != "1 3\n" {
				t.Errorf("a proc is seen unmasked: %q", out)
			}
		}
	})
}

// CVE-2025-52565: /dev/console becomes a link to a file of /proc while the
// terminal is put there.
func TestRaceConsole(t *testing.T) {
	dev := t.TempDir()
	console, link := filepath.Join(dev, "console"), filepath.Join(dev, "x")
	mustDo(t, os.WriteFile(console, nil, 0o644), os.Symlink("/proc/sysrq-trigger", link), os.Mkdir(filepath.Join(dev, "pts"), 0o755), os.Mkdir(filepath.Join(dev, "shm"), 0o755))
	root := rootfs(t)
	exchange(t, console, link)
	s := spec("sh", "-c", "grep -c ' /proc/sysrq-trigger .* - devpts ' /proc/self/mountinfo >/result")
	s.Process.Terminal = true
	for i, m := range s.Mounts {
		if m.Destination == "/dev" {
			s.Mounts[i] = specs.Mount{Type: "bind", Source: dev, Destination: "/dev", Options: []string{"bind"}}
		}
	}
	withoutMounts(s, "/dev/mqueue")
	r, made := newRuntime(t), 0
	for range attempts {
		c, err := r.Create(bounded(t), runtime.CreateOptions{ID: "race", Spec: s, Rootfs: root})
		if err != nil {
			continue
		}
		made++
		mustDo(t, c.Start())
		wait(t, c.Pid)
		mustDo(t, c.Console.Close(), c.Pidfd.Close())
		if out, err := os.ReadFile(filepath.Join(root.Upper, "result")); err != nil || string(out) != "0\n" {
			t.Errorf("the terminal is in /proc: %q, %v", out, err)
		}
	}
	t.Logf("%d of %d were made", made, attempts)
}

// CVE-2025-52881: what is written to /proc goes to the kernel, whatever the
// container's /proc is.
func TestSysctlThroughFakeProc(t *testing.T) {
	bundle, root := bundleRoot(t)
	fake := filepath.Join(root, "proc/sys/kernel/shmmni")
	mustDo(t, os.MkdirAll(filepath.Dir(fake), 0o755), os.WriteFile(fake, []byte("fake"), 0o666))
	s := spec("cat", "/p/sys/kernel/shmmni", "/proc/sys/kernel/shmmni")
	withoutMounts(s, "/proc")
	s.Mounts = append(s.Mounts, specs.Mount{Type: "proc", Source: "proc", Destination: "/p"})
	s.Root = &specs.Root{Path: "root"}
	s.Linux.Sysctl = map[string]string{"kernel.shmmni": "123"}
	out, code, err := runOptions(t, runtime.CreateOptions{ID: "sysctl", Spec: s, Bundle: bundle})
	if err != nil || code != 0 || out != "123\nfake" {
		t.Errorf("%q, code %d, %v", out, code, err)
	}
}

// Links in place of the directories that a root must have lead nowhere but into
// the root.
func TestRootOfLinks(t *testing.T) {
	for _, tc := range []struct{ name, refused string }{
		{"dev", ""}, {"dev/pts", ""}, {"dev/shm", ""}, {"proc", "must be mounted on an ordinary directory"}, {"sys", "must be mounted on an ordinary directory"}, {"etc", ""},
	} {
		t.Run(strings.ReplaceAll(tc.name, "/", "-"), func(t *testing.T) {
			outside := t.TempDir()
			bundle, root := bundleRoot(t)
			mustDo(t, os.RemoveAll(filepath.Join(root, tc.name)), os.Symlink(outside, filepath.Join(root, tc.name)))
			s := spec("true")
			s.Root = &specs.Root{Path: "root"}
			if strings.HasPrefix(tc.name, "dev/") {
				s.Mounts[1] = specs.Mount{Type: "bind", Source: filepath.Join(root, "dev"), Destination: "/dev"}
			}
			if tc.name == "etc" {
				s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: filepath.Join(layer, "etc/group"), Destination: "/etc/made/hostname"})
			}
			_, code, err := runOptions(t, runtime.CreateOptions{ID: "links", Spec: s, Bundle: bundle})
			if tc.refused == "" && (err != nil || code != 0) || tc.refused != "" && (err == nil || !strings.Contains(err.Error(), tc.refused)) {
				t.Errorf("code %d, %v", code, err)
			}
			if got := listing(t, outside); got != "" {
				t.Errorf("made outside: %s", got)
			}
		})
	}
}
