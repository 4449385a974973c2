package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// kinds are the namespaces' names below /proc/PID/ns, and clone's flags.
var kinds = map[specs.LinuxNamespaceType]struct {
	file string
	flag uintptr
}{
	specs.PIDNamespace: {"pid", unix.CLONE_NEWPID}, specs.NetworkNamespace: {"net", unix.CLONE_NEWNET}, specs.MountNamespace: {"mnt", unix.CLONE_NEWNS},
	specs.IPCNamespace: {"ipc", unix.CLONE_NEWIPC}, specs.UTSNamespace: {"uts", unix.CLONE_NEWUTS}, specs.CgroupNamespace: {"cgroup", unix.CLONE_NEWCGROUP},
	specs.TimeNamespace: {"time", unix.CLONE_NEWTIME}, specs.UserNamespace: {"user", unix.CLONE_NEWUSER},
}

// mapped gives the container a user namespace: its root is the host's 100000.
func (b *bundle) mapped() {
	m := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	b.namespace(specs.UserNamespace, "")
	b.spec.Linux.UIDMappings, b.spec.Linux.GIDMappings = m, m
	must(b.t, os.Chown(filepath.Join(b.rootfs), 100000, 100000))
}

// "If a namespace type is not specified in the namespaces array, the container
// MUST inherit the runtime namespace of that type."
func TestInheritedNamespaces(t *testing.T) {
	for kind, k := range kinds {
		if kind == specs.MountNamespace || kind == specs.UserNamespace || kind == specs.TimeNamespace || kind == specs.CgroupNamespace {
			continue
		}
		t.Run(string(kind), func(t *testing.T) {
			b := newBundle(t)
			b.without(kind)
			if kind == specs.UTSNamespace {
				b.spec.Hostname = ""
			}
			if kind == specs.NetworkNamespace {
				b.spec.Mounts = b.spec.Mounts[:len(b.spec.Mounts)-1] // sysfs belongs to a network namespace's owner
			}
			if r := b.looks(); r.Namespaces[k.file] != own(k.file) {
				t.Errorf("%s is %s, the runtime's is %s", k.file, r.Namespaces[k.file], own(k.file))
			}
		})
	}
}

// A file that holds a namespace is as good as /proc's.
func TestJoinedByBoundFile(t *testing.T) {
	b := newBundle(t)
	pid := b.sleeper(unix.CLONE_NEWNET)
	file := filepath.Join(b.temp("netns"), "one")
	b.must(os.WriteFile(file, nil, 0o644))
	b.must(unix.Mount(fmt.Sprintf("/proc/%d/ns/net", pid), file, "", unix.MS_BIND, ""))
	b.undo(func() { _ = unix.Unmount(file, unix.MNT_DETACH) })
	b.namespace(specs.NetworkNamespace, file)
	want, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	if got := b.looks().Namespaces["net"]; got != want {
		t.Errorf("the network namespace is %s, want %s", got, want)
	}
}

func TestNames(t *testing.T) {
	b := newBundle(t)
	b.spec.Hostname, b.spec.Domainname = "inside", "example.org"
	r := b.looks()
	if r.Hostname != "inside" || r.Domain != "example.org" {
		t.Errorf("hostname %q, domain name %q", r.Hostname, r.Domain)
	}
	if name, _ := os.Hostname(); name == "inside" {
		t.Error("the host's name changed")
	}
}

func TestNewNamespaces(t *testing.T) {
	for kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			b := newBundle(t)
			b.namespace(kind, "")
			if kind == specs.UserNamespace {
				b.mapped()
			}
			r := b.looks()
			for other, o := range kinds {
				inherited := true
				for _, n := range b.spec.Linux.Namespaces {
					inherited = inherited && n.Type != other
				}
				if same := r.Namespaces[o.file] == own(o.file); same != inherited {
					t.Errorf("%s is %s and the runtime's %s; inherited: %v", o.file, r.Namespaces[o.file], own(o.file), inherited)
				}
			}
		})
	}
}

func TestBadNamespaces(t *testing.T) {
	for _, row := range []struct {
		name, want string
		change     func(b *bundle)
	}{
		{"of another type", "network|/ns/uts", func(b *bundle) { b.namespace(specs.NetworkNamespace, "/proc/self/ns/uts") }},
		{"no namespace's file", "/etc/passwd", func(b *bundle) { b.namespace(specs.IPCNamespace, "/etc/passwd") }},
		{"missing file", "/no/such", func(b *bundle) { b.namespace(specs.IPCNamespace, "/no/such") }},
		{"missing file of a pid namespace", "/no/such", func(b *bundle) { b.namespace(specs.PIDNamespace, "/no/such") }},
		{"named twice", "network", func(b *bundle) {
			b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace})
		}},
		{"unknown type", "astral", func(b *bundle) { b.namespace("astral", "") }},
		{"hostname of the host", "hostname", func(b *bundle) { b.without(specs.UTSNamespace) }},
		{"mappings without a user namespace", "uidMappings|user namespace", func(b *bundle) {
			b.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 10}}
		}},
		{"user namespace without mappings", "uidMappings|user namespace|mapping", func(b *bundle) { b.namespace(specs.UserNamespace, "") }},
		{"mappings that overlap", "overlap|0.*100000|ap", func(b *bundle) {
			b.mapped()
			b.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 10}, {ContainerID: 5, HostID: 200000, Size: 10}}
		}},
		{"time offsets without a time namespace", "timeOffsets|time namespace", func(b *bundle) {
			b.spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 1}}
		}},
		{"offset of an unknown clock", "sundial", func(b *bundle) {
			b.namespace(specs.TimeNamespace, "")
			b.spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"sundial": {Secs: 1}}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBundle(t)
			row.change(b)
			b.fails(row.want)
		})
	}
}

func TestUserNamespace(t *testing.T) {
	b := newBundle(t, "/probe", "hold")
	b.mapped()
	b.spec.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 200000, Size: 1000}, {ContainerID: 2000, HostID: 300000, Size: 5}}
	b.spec.Process.User = specs.User{UID: 3, GID: 2001, AdditionalGids: []uint32{7}}
	r := b.holds()
	if r.UIDMap != "0 100000 65536" || r.GIDMap != "0 200000 1000\n2000 300000 5" {
		t.Errorf("the maps are %q and %q", r.UIDMap, r.GIDMap)
	}
	if r.UID != 3 || r.GID != 2001 {
		t.Errorf("user %d and group %d inside, want 3 and 2001", r.UID, r.GID)
	}
	var st unix.Stat_t
	b.must(unix.Stat(fmt.Sprintf("/proc/%d", b.stateOf().Pid), &st))
	if st.Uid != 100003 || st.Gid != 300001 {
		t.Errorf("user %d and group %d outside, want 100003 and 300001", st.Uid, st.Gid)
	}
	if e := b.exec("/probe", "try", "stat,/dev/null", "stat,/proc/self", "stat,/dev"); !strings.HasPrefix(e.out, "char 0666 ") {
		t.Errorf("exec: %q %q", e.out, e.err)
	}
	b.stopped("TERM")
}

// The root of a user namespace has all its capabilities within, and none outside.
func TestUserNamespaceRoot(t *testing.T) {
	b := newBundle(t)
	b.mapped()
	b.capable("CAP_SYS_ADMIN")
	b.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: ptr(os.FileMode(0o666))}}
	b.expect([][2]string{
		{"mount,tmpfs,/tmp,tmpfs,0", "ok"},
		{"mknod,/tmp/mem,c,1,1", "EPERM"},
		{"write,/proc/sys/kernel/panic,1", "EACCES"},
		{"chown,/tmp,65535,65535", "ok"},
		{"chown,/tmp,65536,0", "EINVAL"},
		{"stat,/dev/shm", "dir 1777 0:0 0:0"},
	})
}

func TestTimeOffsets(t *testing.T) {
	b := newBundle(t)
	b.namespace(specs.TimeNamespace, "")
	b.spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 172800, Nanosecs: 7}, "boottime": {Secs: 604800}}
	var now unix.Timespec
	b.must(unix.ClockGettime(unix.CLOCK_MONOTONIC, &now))
	r := b.looks()
	if r.TimeOffsets["monotonic"] != [2]string{"172800", "7"} || r.TimeOffsets["boottime"] != [2]string{"604800", "0"} {
		t.Errorf("offsets %v", r.TimeOffsets)
	}
	if past := r.Monotonic - now.Sec; past < 172800 || past > 172800+600 {
		t.Errorf("the monotonic clock is %d s ahead, want 172800", past)
	}
}

// A process of exec is in every namespace of the container's.
func TestExecJoinsAll(t *testing.T) {
	for _, user := range []bool{false, true} {
		t.Run(fmt.Sprint("user namespace ", user), func(t *testing.T) {
			b := newBundle(t, "/probe", "hold")
			b.namespace(specs.CgroupNamespace, "")
			b.namespace(specs.TimeNamespace, "")
			b.spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1000}}
			if user {
				b.mapped()
			}
			first := b.holds()
			e := b.exec("/probe")
			if e.code != 0 {
				t.Fatalf("exec: exit %d: %s", e.code, e.err)
			}
			second := b.report(e.out)
			for _, k := range kinds {
				if first.Namespaces[k.file] != second.Namespaces[k.file] {
					t.Errorf("%s is %s for the first process and %s for exec's", k.file, first.Namespaces[k.file], second.Namespaces[k.file])
				}
			}
			if first.Cgroup != second.Cgroup || first.UIDMap != second.UIDMap {
				t.Errorf("cgroup %q and %q, map %q and %q", first.Cgroup, second.Cgroup, first.UIDMap, second.UIDMap)
			}
			b.stopped("TERM")
		})
	}
}

func TestSysctl(t *testing.T) {
	b := newBundle(t)
	b.spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.msgmax": "4242", "net/ipv4/ip_unprivileged_port_start": "80", "fs.mqueue.msg_max": "9"}
	b.expect([][2]string{
		{"read,/proc/sys/net/ipv4/ip_forward", `"1\n"`},
		{"read,/proc/sys/kernel/msgmax", `"4242\n"`},
		{"read,/proc/sys/net/ipv4/ip_unprivileged_port_start", `"80\n"`},
		{"read,/proc/sys/fs/mqueue/msg_max", `"9\n"`},
	})
	for key, want := range map[string]string{"vm.swappiness": "vm.swappiness", "kernel.panic": "kernel.panic", "net.nosuch.key": "nosuch", "../../etc/passwd": "passwd"} {
		b := newBundle(t)
		b.spec.Linux.Sysctl = map[string]string{key: "1"}
		b.fails(want)
	}
	b = newBundle(t)
	b.without(specs.NetworkNamespace)
	b.spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
	b.fails("net.ipv4.ip_forward")
}

// Without any namespace, the mount namespace too is the runtime's.
func TestNoNamespaces(t *testing.T) {
	b := newBundle(t, "/bin/sleep", "600")
	b.spec.Linux.Namespaces, b.spec.Hostname, b.spec.Mounts = nil, "", nil
	b.spec.Linux.MaskedPaths, b.spec.Linux.ReadonlyPaths = nil, nil
	b.start()
	pid := b.stateOf().Pid
	for _, k := range kinds {
		if got, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, k.file)); got != own(k.file) {
			t.Errorf("%s is %s, the runtime's is %s", k.file, got, own(k.file))
		}
	}
	if root, _ := os.Readlink(fmt.Sprintf("/proc/%d/root", pid)); root != b.rootfs {
		t.Errorf("the root is %s, want %s", root, b.rootfs)
	}
	b.stopped("KILL")
}

func TestJoinedNamespaces(t *testing.T) {
	for kind, k := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			b := newBundle(t)
			var pid int
			switch kind {
			case specs.UserNamespace:
				pid = b.sleeper(k.flag, syscall.SysProcIDMap{ContainerID: 0, HostID: 100000, Size: 65536})
				b.must(os.Chown(b.rootfs, 100000, 100000))
			default:
				pid = b.sleeper(k.flag)
			}
			path := fmt.Sprintf("/proc/%d/ns/%s", pid, k.file)
			b.namespace(kind, path)
			if kind == specs.UTSNamespace {
				b.spec.Hostname = ""
			}
			want, err := os.Readlink(path)
			b.must(err)
			if got := b.looks().Namespaces[k.file]; got != want {
				t.Errorf("%s is %s, want %s", k.file, got, want)
			}
		})
	}
}

// In the runtime's mount namespace the mounts of the specification are made below
// the root, and delete takes them away; left finds one that stays.
func TestInheritedMountNamespace(t *testing.T) {
	for name, inherit := range map[string]func(*bundle){
		"by no name":  func(b *bundle) { b.without(specs.MountNamespace) },
		"by own path": func(b *bundle) { b.namespace(specs.MountNamespace, "/proc/self/ns/mnt") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t, "/bin/sh", "-c", "cat /proc/self/mountinfo; exec sleep 600")
			inherit(b)
			b.spec.Root.Readonly = true
			b.line(b.start())
			if got, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", b.stateOf().Pid)); got != own("mnt") {
				t.Errorf("the mount namespace is %s, the runtime's is %s", got, own("mnt"))
			}
			if r := b.exec("/bin/sh", "-c", "ls /probe /proc/self/mountinfo /dev/shm; touch /x"); r.code == 0 || !strings.Contains(r.out, "/probe\n") || !strings.Contains(r.err, "Read-only") {
				t.Errorf("exec: exit %d, says %q %q", r.code, r.out, r.err)
			}
			b.stopped("KILL")
			b.ok("delete", b.id)
			mounts := read("/proc/self/mountinfo")
			if strings.Contains(mounts, b.rootfs) {
				t.Errorf("delete leaves mounts:\n%s", mounts)
			}
		})
	}
	fails := map[string]func(*bundle){
		"mount": func(b *bundle) { b.mount(specs.Mount{Destination: "/x", Type: "nosuchfs", Source: "x"}) },
		"user":  func(b *bundle) { b.mapped() },
	}
	for name, change := range fails {
		t.Run("fails at "+name, func(t *testing.T) {
			b := newBundle(t)
			b.without(specs.MountNamespace)
			change(b)
			b.fails("nosuchfs|mount namespace")
			if mounts := read("/proc/self/mountinfo"); strings.Contains(mounts, b.rootfs) {
				t.Errorf("a create that fails leaves mounts:\n%s", mounts)
			}
		})
	}
	t.Run("fails at the program", func(t *testing.T) {
		b := newBundle(t, "/nosuch")
		b.without(specs.MountNamespace)
		if r := b.run(); r.code == 0 {
			t.Error("runs")
		}
		if mounts := read("/proc/self/mountinfo"); strings.Contains(mounts, b.rootfs) {
			t.Errorf("a run that fails leaves mounts:\n%s", mounts)
		}
	})
}
