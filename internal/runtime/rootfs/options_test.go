package rootfs

import (
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/mount"
)

func TestParseOptions(t *testing.T) {
	for _, tc := range []struct {
		list []string
		want options
	}{
		{[]string{"rbind", "ro", "rprivate"}, options{bind: true, rbind: true, spread: true,
			attr: mount.Attr{Set: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE}}},
		{[]string{"ro", "rw"}, options{attr: mount.Attr{Clear: unix.MOUNT_ATTR_RDONLY}}},
		{[]string{"rro", "rnosuid"}, options{recursive: mount.Attr{Set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}}},
		{[]string{"relatime"}, options{attr: mount.Attr{Clear: unix.MOUNT_ATTR__ATIME}}},
		{[]string{"noatime", "strictatime"}, options{attr: mount.Attr{Set: unix.MOUNT_ATTR_STRICTATIME, Clear: unix.MOUNT_ATTR__ATIME}}},
		{[]string{"size=1m", "mode=755", "defaults", "", "newinstance"}, options{data: []string{"size=1m", "mode=755", "newinstance"}}},
		{[]string{"slave"}, options{attr: mount.Attr{Propagation: unix.MS_SLAVE}}},
	} {
		if got := parseOptions(specs.Mount{Options: tc.list}); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q: got %+v, want %+v", tc.list, got, tc.want)
		}
	}
}

func TestParseHierarchies(t *testing.T) {
	got := parseHierarchies("9:name=systemd:/a:b\n4:cpu,cpuacct:/\n0::/x\nbroken\n")
	want := []hierarchy{{"name=systemd", "/a:b"}, {"cpu,cpuacct", "/"}, {"", "/x"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestHierarchyNames(t *testing.T) {
	for _, tc := range []struct {
		controllers, dir string
		links            []string
	}{
		{"", "unified", nil}, {"pids", "pids", nil}, {"name=systemd", "systemd", nil},
		{"cpu,cpuacct", "cpu,cpuacct", []string{"cpu", "cpuacct"}}, {"net_cls,net_prio", "net_cls,net_prio", []string{"net_cls", "net_prio"}},
	} {
		if dir, links := (hierarchy{controllers: tc.controllers}).names(); dir != tc.dir || !reflect.DeepEqual(links, tc.links) {
			t.Errorf("%q: %s, %q", tc.controllers, dir, links)
		}
	}
}

func FuzzParseHierarchies(f *testing.F) {
	f.Add("9:name=systemd:/a:b\n4:cpu,cpuacct:/\n0::/x\nbroken\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, h := range parseHierarchies(s) {
			h.names()
		}
	})
}

func FuzzParseOptions(f *testing.F) {
	f.Add("rro", "rbind")
	f.Add("r", "")
	f.Add("ridmap", "mode=755")
	f.Fuzz(func(t *testing.T, a, b string) {
		o := parseOptions(specs.Mount{Options: []string{a, b}})
		if both := o.attr.Set & o.attr.Clear &^ unix.MOUNT_ATTR__ATIME; both != 0 {
			t.Fatalf("set and cleared: %+v", o.attr)
		}
	})
}

func TestCommonDir(t *testing.T) {
	for _, tc := range []struct{ a, b, want string }{
		{"/s/1/fs", "/s/1/work", "/s/1"}, {"/s/1/fs", "/s/10/work", "/s"}, {"/a/fs", "/b/work", ""}, {"/a", "/b", ""},
	} {
		if got := commonDir(tc.a, tc.b); got != tc.want {
			t.Errorf("%s and %s: %q, want %q", tc.a, tc.b, got, tc.want)
		}
	}
}

// Each name that is listed is taken, and not handed to the filesystem.
func TestOptionNames(t *testing.T) {
	for _, name := range OptionNames() {
		if o := parseOptions(specs.Mount{Type: "bind", Options: []string{name}}); len(o.data) > 0 || name == "" {
			t.Errorf("%q is not known", name)
		}
	}
}
