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
