package conformance

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
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

// link makes a veth pair in the lab with an address and takes it away again.
func (b *bundle) link(name string) {
	b.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	b.must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name + "p"}))
	b.undo(func() {
		if l, err := netlink.LinkByName(name + "p"); err == nil {
			_ = netlink.LinkDel(l)
		}
	})
	l, err := netlink.LinkByName(name)
	b.must(err)
	b.must(netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 7), Mask: net.CIDRMask(24, 32)}}))
	b.must(netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP("2001:db8::7"), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD}))
}
