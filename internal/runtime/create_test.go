package runtime_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/runtime"
)

// Each row is a script in a container and the lines it must write.
func TestContainer(t *testing.T) {
	umask := uint32(0o077)
	for _, tc := range []struct {
		name   string
		change func(*specs.Spec)
		script string
		want   string
	}{
		{name: "is the first process", script: "echo $$; hostname; pwd", want: "1\nbox\n/"},
		{name: "has Docker's capabilities", script: "grep -E 'Cap(Prm|Eff|Bnd|Inh|Amb)' /proc/self/status | while read a b; do echo $a $b; done",
			want: "CapInh: 0000000000000000\nCapPrm: 00000000a80425fb\nCapEff: 00000000a80425fb\nCapBnd: 00000000a80425fb\nCapAmb: 0000000000000000"},
		{name: "has ambient capabilities as a user", script: "grep -E 'Cap(Eff|Amb)' /proc/self/status | while read a b; do echo $a $b; done",
			change: func(s *specs.Spec) {
				s.Process.User.UID = 33
				one := []string{"CAP_NET_BIND_SERVICE"}
				s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: one, Effective: one, Permitted: one, Inheritable: one, Ambient: one}
			}, want: "CapEff: 0000000000000400\nCapAmb: 0000000000000400"},
		{name: "has no capabilities as a user", script: "grep CapEff /proc/self/status | while read a b; do echo $a $b; done",
			change: func(s *specs.Spec) { s.Process.User.UID = 33 }, want: "CapEff: 0000000000000000"},
		{name: "sees nothing masked", script: "cat /proc/keys /proc/timer_list; ls /sys/firmware | wc -l", want: "0"},
		{name: "cannot write what is read-only", script: "echo 1 >/proc/sys/kernel/domainname; touch /sys/x; true",
			want: "sh: can't create /proc/sys/kernel/domainname: Read-only file system\ntouch: /sys/x: Read-only file system"},
		{name: "has the devices", script: "cd /dev; ls -d fd full null ptmx random stdin stdout stderr tty urandom zero | wc -l; echo x >null; dd if=zero bs=1 count=3 2>null | wc -c; readlink ptmx",
			want: "11\n3\npts/ptmx"},
		{name: "has a device of the specification", script: "ls -l /dev/net/fuse | while read m l u g rest; do echo $m $u $g; done",
			change: func(s *specs.Spec) {
				mode, gid := os.FileMode(0o640), uint32(34)
				s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/net/fuse", Type: "c", Major: 10, Minor: 229, FileMode: &mode, GID: &gid}}
			}, want: "crw-r----- root web"},
		{name: "has no descriptor but stdio", script: "ls /proc/1/fd", want: "0\n1\n2"},
		{name: "looks the user up", script: "id; echo $HOME", change: func(s *specs.Spec) { s.Process.User.Username = "web" },
			want: "uid=33(web) gid=34(web) groups=34(web),40(logs)\n/tmp"},
		{name: "takes user and group as numbers", script: "id -u; id -g; echo $HOME", change: func(s *specs.Spec) { s.Process.User.Username = "4242:40" },
			want: "4242\n40\n/"},
		{name: "makes the working directory", script: "pwd", change: func(s *specs.Spec) { s.Process.Cwd = "/srv/new/deep" }, want: "/srv/new/deep"},
		{name: "has a umask of its own", script: "umask", change: func(s *specs.Spec) { s.Process.User.Umask = &umask }, want: "0077"},
		{name: "has the limits", script: "ulimit -Sn; ulimit -Hn; ulimit -c",
			change: func(s *specs.Spec) {
				s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}, {Type: "RLIMIT_CORE"}}
			}, want: "100\n200\n0"},
		{name: "has the sysctl", script: "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni",
			change: func(s *specs.Spec) {
				s.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "0", "kernel.shmmni": "123"}
			}, want: "0\n123"},
		{name: "cannot gain privileges", script: "grep NoNewPrivs /proc/self/status", change: func(s *specs.Spec) { s.Process.NoNewPrivileges = true }, want: "NoNewPrivs:\t1"},
		{name: "has default signals", script: "exec cat /proc/self/status | grep -E 'Sig(Blk|Ign)'",
			want: "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000"},
		{name: "has the loopback interface up", script: "cat /sys/class/net/lo/flags; ls /sys/class/net", want: "0x9\nlo"},
		{name: "can write its root", script: "echo hi >/new; cat /new", want: "hi"},
		{name: "cannot write a read-only root", script: "touch /new; touch /dev/shm/x && echo shm", change: func(s *specs.Spec) { s.Root = &specs.Root{Readonly: true} },
			want: "touch: /new: Read-only file system\nshm"},
		{name: "finds its cgroup at the root", script: "grep -c -v ':/$' /proc/self/cgroup", want: "0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := spec("sh", "-c", tc.script+"\ntrue")
			if tc.change != nil {
				tc.change(s)
			}
			if got := must(t, s, rootfs(t)); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestMounts(t *testing.T) {
	source := t.TempDir()
	for name, text := range map[string]string{"file": "hello", "sub/inner": "deep"} {
		path := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bind := func(source, destination string, options ...string) specs.Mount {
		return specs.Mount{Type: "bind", Source: source, Destination: destination, Options: append([]string{"rbind"}, options...)}
	}
	for _, tc := range []struct {
		name   string
		mounts []specs.Mount
		script string
		want   string
	}{
		{"directory", []specs.Mount{bind(source, "/a/b")}, "cat /a/b/file; echo new >/a/b/new && cat /a/b/new", "hellonew"},
		{"file", []specs.Mount{bind(source+"/file", "/etc/new/file", "ro")}, "cat /etc/new/file; echo x >/etc/new/file", "hellosh: can't create /etc/new/file: Read-only file system"},
		{"read-only", []specs.Mount{bind(source, "/m", "ro", "rprivate")}, "touch /m/x", "touch: /m/x: Read-only file system"},
		{"recursively read-only", []specs.Mount{bind(source, "/m", "rro")}, "touch /m/x", "touch: /m/x: Read-only file system"},
		{"mount on a mount", []specs.Mount{bind(source, "/m"), bind(source+"/file", "/m/sub/inner")}, "cat /m/sub/inner", "hello"},
		{"tmpfs", []specs.Mount{{Type: "tmpfs", Source: "tmpfs", Destination: "/t", Options: []string{"size=64k", "mode=1700", "noexec"}}},
			"stat -c %a /t; grep -c '^tmpfs /t tmpfs rw,noexec,relatime,size=64k,mode=1700' /proc/mounts", "1700\n1"},
		{"noexec", []specs.Mount{bind("/bin/busybox", "/tmp/bb", "noexec")}, "/tmp/bb true", "sh: /tmp/bb: Permission denied"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := spec("sh", "-c", tc.script+"\ntrue")
			s.Mounts = append(s.Mounts, tc.mounts...)
			if got := must(t, s, rootfs(t)); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

// An image's links must not lead a mount point out of the root.
func TestMountTargetsStayInRoot(t *testing.T) {
	outside := t.TempDir()
	source := filepath.Join(t.TempDir(), "the-source-of-the-mount")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, link, destination string }{
		{"absolute link", outside, "/link/made"},
		{"relative link", "../../../../../../../../.." + outside, "/link/made"},
		{"dangling link", outside + "/dangling", "/link"},
		{"dots", "", "/../../../../../../.." + outside + "/made"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := rootfs(t)
			if tc.link != "" {
				if err := os.Symlink(tc.link, filepath.Join(root.Upper, "link")); err != nil {
					t.Fatal(err)
				}
			}
			s := spec("sh", "-c", "grep -c ' /.*"+filepath.Base(source)+"' /proc/self/mountinfo")
			s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: source, Destination: tc.destination, Options: []string{"bind"}})
			if got := must(t, s, root); got != "1" {
				t.Error(got)
			}
			entries, err := os.ReadDir(outside)
			if err != nil || len(entries) != 0 {
				t.Fatalf("made outside the root: %v, %v", entries, err)
			}
		})
	}
}

func TestHostRootfs(t *testing.T) {
	secret := t.TempDir()
	if err := os.WriteFile(filepath.Join(secret, "key"), []byte("k"), 0o600); err != nil {
		t.Fatal(err)
	}
	root := rootfs(t)
	root.Lowers, root.Host = nil, true
	root.Hidden = []string{"/etc/shadow", secret + "/", "/no/such/file"}
	marker := filepath.Join("/var/tmp", filepath.Base(secret)+"-marker")
	s := spec("/bin/sh", "-c", "test -e /etc/shadow && echo shadow; ls "+secret+" | wc -l; test -e /etc/passwd && echo passwd; echo x >"+marker+" && cat "+marker+"; stat -c %a /etc /tmp /")
	out := must(t, s, root)
	if !strings.HasPrefix(out, "0\npasswd\nx\n755\n1777\n755") {
		t.Errorf("got %q", out)
	}
	if _, err := os.Lstat(marker); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the host was changed: %v", err)
	}
}

func TestRootPath(t *testing.T) {
	s := spec("sh", "-c", "echo hi >/written; ls -d /bin")
	s.Root = &specs.Root{Path: "layer"}
	bundle := t.TempDir()
	if err := os.CopyFS(filepath.Join(bundle, "layer"), os.DirFS(layer)); err != nil {
		t.Fatal(err)
	}
	out, code, err := runOptions(t, runtime.CreateOptions{ID: "path", Spec: s, Bundle: bundle})
	if err != nil || code != 0 || out != "/bin\n" {
		t.Fatal(out, code, err)
	}
	if b, err := os.ReadFile(filepath.Join(bundle, "layer/written")); err != nil || string(b) != "hi\n" {
		t.Fatal(string(b), err)
	}
}

func TestFailures(t *testing.T) {
	is := func(kind error) func(error) bool { return func(err error) bool { return errors.Is(err, kind) } }
	for _, tc := range []struct {
		name   string
		change func(*specs.Spec)
		args   []string
		kind   func(error) bool
		text   string
	}{
		{name: "missing command", args: []string{"nope"}, kind: errdefs.IsNotFound, text: `exec: "nope": executable file not found in $PATH`},
		{name: "missing path", args: []string{"/bin/nope"}, kind: errdefs.IsNotFound, text: `exec: "/bin/nope": stat /bin/nope: no such file or directory`},
		{name: "not executable", args: []string{"noexec"}, kind: errdefs.IsPermissionDenied, text: `exec: "noexec": permission denied`},
		{name: "a directory", args: []string{"/etc"}, kind: errdefs.IsPermissionDenied, text: `exec: "/etc": permission denied`},
		{name: "no program", args: []string{"plain"}, kind: errdefs.IsPermissionDenied, text: `exec /bin/plain: exec format error`},
		{name: "an argument too long", args: []string{"true", strings.Repeat("a", 128<<10)}, kind: errdefs.IsInvalidArgument, text: "argument list too long"},
		{name: "no command", args: nil, kind: errdefs.IsInvalidArgument, text: "no command specified"},
		{name: "unknown user", args: []string{"true"}, change: func(s *specs.Spec) { s.Process.User.Username = "ghost" },
			kind: errdefs.IsInvalidArgument, text: "unable to find user ghost: no matching entries in passwd file"},
		{name: "missing bind source", args: []string{"true"}, change: func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: "/no/such", Destination: "/x"})
		}, kind: func(error) bool { return true }, text: "bind source path does not exist: /no/such"},
		{name: "refused mount option", args: []string{"true"}, change: func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Type: "tmpfs", Destination: "/x", Options: []string{"bogus=1"}})
		}, kind: func(error) bool { return true }, text: "Unknown parameter 'bogus'"},
		{name: "directory on a file", args: []string{"true"}, change: func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: "/tmp", Destination: "/etc/passwd"})
		}, kind: func(error) bool { return true }, text: "are you trying to mount a directory onto a file"},
		{name: "profile", args: []string{"true"}, change: func(s *specs.Spec) { s.Process.ApparmorProfile = "docker-default" }, // not loaded, or no AppArmor
			kind: func(error) bool { return true }, text: `process.apparmorProfile "docker-default"`},
		{name: "sysctl of the host", args: []string{"true"}, change: func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
			s.Linux.Namespaces = s.Linux.Namespaces[:2]
			s.Hostname = ""
		}, kind: is(errdefs.ErrInvalidArgument), text: "not allowed in the host's network namespace"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := spec(tc.args...)
			if tc.change != nil {
				tc.change(s)
			}
			out, _, err := run(t, s, rootfs(t))
			if err == nil || !tc.kind(err) || !strings.Contains(err.Error(), tc.text) {
				t.Fatalf("got %v; output %q", err, out)
			}
		})
	}
	if err := noChildren(); err != nil {
		t.Error(err)
	}
}

func TestSeccomp(t *testing.T) {
	for _, nnp := range []bool{false, true} {
		s := spec("sh", "-c", "mkdir /x; grep Seccomp: /proc/self/status")
		s.Process.NoNewPrivileges = nnp
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
			Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno}}}
		if got, want := must(t, s, rootfs(t)), "mkdir: can't create directory '/x': Operation not permitted\nSeccomp:\t2"; got != want {
			t.Errorf("no_new_privs %v: got %q", nnp, got)
		}
	}
}

func TestLongLayerPaths(t *testing.T) {
	root := &oci.Rootfs{}
	dir := t.TempDir()
	for range 5 {
		dir = filepath.Join(dir, strings.Repeat("long", 25))
	}
	for _, d := range []*string{&root.Upper, &root.Work} {
		*d = filepath.Join(dir, filepath.Base(t.TempDir())+strings.Repeat("x", len(root.Upper)%7))
		if err := os.MkdirAll(*d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "layer"), os.DirFS(layer)); err != nil {
		t.Fatal(err)
	}
	root.Lowers = []string{filepath.Join(dir, "layer"), layer}
	must(t, spec("sh", "-c", "echo x >/y"), root)
	if _, err := os.Stat(filepath.Join(root.Upper, "y")); err != nil {
		t.Error(err)
	}
}

// A shared propagation is for the binds; the container's own mounts must not
// appear on the host.
func TestSharedPropagation(t *testing.T) {
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []bool{false, true} {
		s := spec("/bin/sh", "-c", "true")
		s.Linux.RootfsPropagation = "rshared"
		root := rootfs(t)
		if root.Host = host; host {
			root.Lowers, root.Hidden = nil, []string{"/etc/shadow"}
		}
		must(t, s, root)
	}
	after, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || string(after) != string(before) {
		t.Errorf("%v\nbefore %s\nafter %s", err, before, after)
	}
}

// Without a pivot the container sees no more than with one, and the host loses
// nothing.
func TestNoPivot(t *testing.T) {
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		propagation string
		hooked      bool
	}{{"", false}, {"rshared", false}, {"", true}} {
		s := spec("sh", "-c", "ls / | wc -l; cat /proc/1/comm; cd /proc/1/root/../..; ls /bin/plain; grep -c ' - sysfs ' /proc/self/mountinfo; grep -c ' - proc ' /proc/self/mountinfo")
		s.Linux.RootfsPropagation, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = tc.propagation, nil, nil
		o := runtime.CreateOptions{ID: "nopivot", Spec: s, NoPivot: true}
		if tc.hooked {
			o.Bundle, _ = bundleRoot(t)
			s.Root, s.Hooks = &specs.Root{Path: "root"}, &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/bin/true"}}}
		} else {
			o.Rootfs = rootfs(t)
		}
		out, code, err := runOptions(t, o)
		if err != nil || code != 0 || out != "8\nsh\n/bin/plain\n1\n1\n" {
			t.Fatalf("%q, code %d, %v", out, code, err)
		}
	}
	after, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || string(after) != string(before) {
		t.Errorf("%v\nbefore %s\nafter %s", err, before, after)
	}
}
