package runtime_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/runtime"
)

var everybody = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}

// inUsers gives s a new user namespace.
func inUsers(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
	s.Linux.UIDMappings, s.Linux.GIDMappings = everybody, everybody
}

func inTime(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "time"})
	s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 7_000_000}, "monotonic": {Secs: 5, Nanosecs: 6}}
}

func TestUserNamespace(t *testing.T) {
	for _, tc := range []struct {
		name, script, want string
		change             func(*specs.Spec)
	}{
		{name: "is root with a map", script: "id -u; id -g; while read a b c; do echo $a $b $c; done </proc/self/uid_map; cat /proc/self/setgroups",
			want: "0\n0\n0 100000 65536\nallow"},
		{name: "has the capabilities", script: "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | while read a b; do echo $b; done",
			want: "0000000000000000\n00000000a80425fb\n00000000a80425fb\n00000000a80425fb\n0000000000000000"},
		{name: "has devices", script: "cd /dev; echo x >null && dd if=zero bs=1 count=3 2>null | wc -c; ls -d full random tty urandom ptmx | wc -l", want: "3\n5"},
		{name: "has what is masked and read-only", script: "cat /proc/keys /proc/timer_list; touch /proc/sys/kernel/x; ls /sys/class/net",
			want: "touch: /proc/sys/kernel/x: No such file or directory\nlo"},
		{name: "owns what it makes", script: "touch /new /dev/shm/new; stat -c '%u %g' /new /dev/shm/new /dev/pts", want: "0 0\n0 0\n0 0"},
		{name: "owns its other namespaces", script: "hostname changed && hostname; mount -t tmpfs none /tmp && echo mounted; echo 5 >/proc/sys/net/ipv4/ip_default_ttl && cat /proc/sys/net/ipv4/ip_default_ttl",
			change: func(s *specs.Spec) {
				more := append([]string{"CAP_SYS_ADMIN", "CAP_NET_ADMIN"}, defaultCaps...)
				s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: more, Effective: more, Permitted: more}
				s.Linux.ReadonlyPaths, s.Linux.MaskedPaths = nil, nil
			}, want: "changed\nmounted\n5"},
		{name: "has sysctls", script: "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni",
			change: func(s *specs.Spec) {
				s.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "0", "kernel.shmmni": "123"}
			}, want: "0\n123"},
		{name: "has a user with groups", script: "id", change: func(s *specs.Spec) { s.Process.User = specs.User{Username: "web", AdditionalGids: []uint32{77}} },
			want: "uid=33(web) gid=34(web) groups=34(web),40(logs),77"},
		{name: "has a cgroup", script: "grep -c -v ':/$' /proc/self/cgroup; ls /sys/fs/cgroup | wc -l | grep -qv '^0$' && echo mounted", change: func(s *specs.Spec) { s.Linux.CgroupsPath = cgroupPath(t) },
			want: "0\nmounted"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := spec("sh", "-c", tc.script+"\ntrue")
			inUsers(s)
			if tc.change != nil {
				tc.change(s)
			}
			if got := must(t, s, rootfs(t)); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestTimeNamespace(t *testing.T) {
	for name, change := range map[string]func(*specs.Spec){"alone": func(*specs.Spec) {}, "in a user namespace": inUsers} {
		t.Run(name, func(t *testing.T) {
			s := spec("sh", "-c", "read up rest </proc/uptime; test ${up%.*} -ge 7000000 && echo later; cat /proc/self/timens_offsets | while read a b c; do echo $a $b $c; done")
			change(s)
			inTime(s)
			if got := must(t, s, rootfs(t)); got != "later\nmonotonic 5 6\nboottime 7000000 0" {
				t.Errorf("%q", got)
			}
		})
	}
}

// A contradiction is told with its field and value, and nothing is left.
func TestInvalidNamespaces(t *testing.T) {
	ids := func(list ...uint32) (m []specs.LinuxIDMapping) {
		for ; len(list) > 0; list = list[3:] {
			m = append(m, specs.LinuxIDMapping{ContainerID: list[0], HostID: list[1], Size: list[2]})
		}
		return m
	}
	uids := func(list ...uint32) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Linux.UIDMappings = ids(list...) }
	}
	for want, change := range map[string]func(*specs.Spec){
		"linux.uidMappings is empty":                                           uids(),
		"linux.gidMappings is empty":                                           func(s *specs.Spec) { s.Linux.GIDMappings = nil },
		"linux.uidMappings[0] (0:5:0) maps nothing":                            uids(0, 5, 0),
		"linux.uidMappings[1] (9:70:5) overlaps with linux.uidMappings[0]":     uids(0, 5, 10, 9, 70, 5),
		"linux.uidMappings[1] (10:14:5) overlaps":                              uids(0, 5, 10, 10, 14, 5),
		"linux.uidMappings[0] (0:4294967290:65536) goes beyond":                uids(0, 4294967290, 65536),
		"no user namespace":                                                    func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[:6] },
		"no time namespace":                                                    func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {}} },
		`no clock "realtime"`:                                                  func(s *specs.Spec) { inTime(s); s.Linux.TimeOffsets["realtime"] = specs.LinuxTimeOffset{} },
		"linux.timeOffsets.boottime.nanosecs 1000000000 is not below a second": func(s *specs.Spec) { inTime(s); s.Linux.TimeOffsets["boottime"] = specs.LinuxTimeOffset{Nanosecs: 1e9} },
		"joined by its path": func(s *specs.Spec) {
			inTime(s)
			s.Linux.Namespaces[7].Path = "/proc/self/ns/time"
		},
		"leads a clock below 0": func(s *specs.Spec) {
			inTime(s)
			s.Linux.TimeOffsets["monotonic"] = specs.LinuxTimeOffset{Secs: -1 << 40}
		},
		`linux.namespaces has no type "mars"`:        func(s *specs.Spec) { s.Linux.Namespaces[6].Type = "mars" },
		"set user 70000: linux.uidMappings does":     func(s *specs.Spec) { s.Process.User.UID = 70000 },
		"set groups [70000]: linux.gidMappings does": func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{70000} },
	} {
		t.Run(want, func(t *testing.T) {
			s := spec("true")
			inUsers(s)
			change(s)
			_, _, err := run(t, s, rootfs(t))
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v", err)
			}
			if err := noChildren(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What a map has that the runtime's own user namespace has not is refused by the
// kernel, after the init was started.
func TestMapIsRefused(t *testing.T) {
	s := spec("true")
	inUsers(s)
	var list []specs.LinuxIDMapping
	for i := range uint32(341) {
		list = append(list, specs.LinuxIDMapping{ContainerID: i, HostID: i, Size: 1})
	}
	s.Linux.GIDMappings = list
	if _, _, err := run(t, s, rootfs(t)); err == nil || !strings.Contains(err.Error(), "linux.gidMappings has 341 entries") {
		t.Error(err)
	}
	if err := noChildren(); err != nil {
		t.Error(err)
	}
}

const sameNamespaces = `cd /proc/self/ns; for n in mnt pid net ipc uts cgroup user time; do test $(readlink $n) = $(readlink /proc/1/ns/$n) && echo $n; done`

func TestExecEntersAllNamespaces(t *testing.T) {
	for name, change := range map[string]func(*specs.Spec){
		"user":          inUsers,
		"time":          inTime,
		"user and time": func(s *specs.Spec) { inUsers(s); inTime(s) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRuntime(t)
			c, s := sleeper(t, r, func(s *specs.Spec) { change(s); s.Linux.CgroupsPath = cgroupPath(t) })
			// Without the right to trace, links of another process can be read by its own user only.
			for script, want := range map[string]string{
				sameNamespaces: "mnt\npid\nnet\nipc\nuts\ncgroup\nuser\ntime",
				"id -u; ls /proc/$$/fd; grep -c -v ':/$' /proc/self/cgroup":                                    "0\n0\n1\n2\n0",
				"grep -E 'Cap(Inh|Eff|Amb)|Sig(Blk|Ign)' /proc/self/status | while read a b; do echo $b; done": "0000000000000000\n0000000000000000\n0000000000000000\n00000000a80425fb\n0000000000000000",
			} {
				if name != "user" && script == sameNamespaces && s.Linux.TimeOffsets == nil {
					t.Fatal("no time namespace")
				}
				out, code, err := execIn(t, r, c, s, nil, "sh", "-c", script+"\ntrue")
				if err != nil || code != 0 || strings.TrimSpace(out) != want {
					t.Errorf("%s: code %d, %v\ngot  %q\nwant %q", script, code, err, out, want)
				}
			}
			if _, code, err := execIn(t, r, c, s, nil, "sh", "-c", "exit 7"); err != nil || code != 7 {
				t.Errorf("code %d, %v", code, err)
			}
			if _, _, err := execIn(t, r, c, s, nil, "nope"); !errdefs.IsNotFound(err) {
				t.Error(err)
			}
		})
	}
}

// A container joins the namespaces of another one by their paths.
func TestJoinByPath(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*specs.Spec)
		join   []string
	}{
		"user":           {inUsers, []string{"user"}},
		"user and all":   {inUsers, []string{"user", "network", "ipc", "uts", "pid", "cgroup"}},
		"time":           {inTime, []string{"time"}},
		"time and pid":   {inTime, []string{"time", "pid"}},
		"user and time":  {func(s *specs.Spec) { inUsers(s); inTime(s) }, []string{"time", "network", "user"}},
		"net of no user": {func(*specs.Spec) {}, []string{"network", "ipc"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRuntime(t)
			c, _ := sleeper(t, r, tc.change)
			s := spec("sh", "-c", "id -u; for n in "+strings.Join(kernelNames(tc.join), " ")+"; do readlink /proc/self/ns/$n; done")
			s.Hostname = ""
			if strings.HasPrefix(name, "net") {
				inUsers(s)
			}
			var kept []specs.LinuxNamespace
			for _, n := range s.Linux.Namespaces {
				if !contains(tc.join, string(n.Type)) {
					kept = append(kept, n)
				}
			}
			want := "0"
			for _, n := range tc.join {
				path := fmt.Sprintf("/proc/%d/ns/%s", c.Pid, kernelNames([]string{n})[0])
				link, err := os.Readlink(path)
				if err != nil {
					t.Fatal(err)
				}
				want += "\n" + link
				kept = append(kept, specs.LinuxNamespace{Type: specs.LinuxNamespaceType(n), Path: path})
			}
			s.Linux.Namespaces = kept
			if strings.HasPrefix(name, "net") {
				s.Mounts = s.Mounts[:3] // sysfs and mqueue would be another user's
			}
			if got := must(t, s, rootfs(t)); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
	if err := noChildren(); err != nil {
		t.Error(err)
	}
}

func kernelNames(types []string) []string {
	var names []string
	for _, n := range types {
		if n == "network" {
			n = "net"
		}
		names = append(names, n)
	}
	return names
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func TestJoinWhatIsNoNamespace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ns")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []specs.LinuxNamespaceType{"user", "time"} {
		s := spec("true")
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: file})
		if _, _, err := run(t, s, rootfs(t)); err == nil || !strings.Contains(err.Error(), "join namespace "+file) {
			t.Errorf("%s: %v", kind, err)
		}
		s.Linux.Namespaces[6].Path = file + "/missing"
		if _, _, err := run(t, s, rootfs(t)); err == nil || !strings.Contains(err.Error(), "open namespace") {
			t.Errorf("%s: %v", kind, err)
		}
		if err := noChildren(); err != nil {
			t.Error(err)
		}
	}
}

// directory is a bundle with a root of the host's user 100000, closed to everybody.
func directory(t *testing.T) string {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "root"), os.DirFS(layer)); err != nil {
		t.Fatal(err)
	}
	if err := filepath.Walk(filepath.Join(dir, "root"), func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, 100000, 100000)
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestUserNamespaceWithDirectory(t *testing.T) {
	s := spec("sh", "-c", "touch /new; stat -c '%u %n' / /bin/busybox /srv /new")
	inUsers(s)
	s.Root = &specs.Root{Path: "root"}
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/srv", Type: "bind", Source: "root/etc", Options: []string{"rbind", "ro"}})
	out, code, err := runOptions(t, runtime.CreateOptions{ID: "dir", Spec: s, Bundle: directory(t)})
	if want := "0 /\n0 /bin/busybox\n0 /srv\n0 /new\n"; err != nil || code != 0 || out != want {
		t.Errorf("code %d, %v\ngot  %q\nwant %q", code, err, out, want)
	}
}

func TestUserNamespaceWithoutRoot(t *testing.T) {
	s := spec("sh", "-c", "id -u; id -g; grep CapEff /proc/self/status; touch /new && stat -c '%u %g' /new /dev/shm")
	inUsers(s)
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 1000, HostID: 100000, Size: 10}}
	s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 2000, HostID: 100000, Size: 10}}
	s.Process.User = specs.User{UID: 1000, GID: 2000}
	s.Root = &specs.Root{Path: "root"}
	dir := directory(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	out, code, err := runOptions(t, runtime.CreateOptions{ID: "dir", Spec: s, Bundle: dir})
	if want := "1000\n2000\nCapEff:\t0000000000000000\n1000 2000\n1000 2000\n"; err != nil || code != 0 || out != want {
		t.Errorf("code %d, %v\ngot  %q\nwant %q", code, err, out, want)
	}
}

func TestTerminalInUserNamespace(t *testing.T) {
	r := newRuntime(t)
	c, s := sleeper(t, r, inUsers)
	p := *s.Process
	p.Terminal, p.Args = true, []string{"sh", "-c", "tty; stat -c %u /dev/pts/0"}
	proc, err := r.Exec(bounded(t), runtime.ExecOptions{Pid: c.Pid, Spec: s, Process: &p})
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Pidfd.Close()
	buf := make([]byte, 100)
	text := ""
	for !strings.HasSuffix(text, "0\r\n0\r\n") {
		n, err := proc.Console.Read(buf)
		if err != nil {
			break
		}
		text += string(buf[:n])
	}
	if code := wait(t, proc.Pid); code != 0 || text != "/dev/pts/0\r\n0\r\n" {
		t.Errorf("code %d, %q", code, text)
	}
	proc.Console.Close()
}
