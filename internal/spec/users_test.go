package spec

import (
	"fmt"
	"strings"
	"testing"

	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/sys/userns"
)

// A user namespace shows what is the engine's by its map, and nothing else.
func TestUsers(t *testing.T) {
	users := userns.Map{UIDs: []userns.Range{{Inside: 0, Outside: 100000, Count: 10}, {Inside: 10, Outside: 5, Count: 10}}, GIDs: []userns.Range{{Inside: 0, Outside: 7, Count: 9}}}
	with := func(change func(*Input, *api.HostConfig)) *specs.Spec {
		return build(t, func(in *Input, _ *api.Config, h *api.HostConfig) {
			in.Users, in.HostsFile = users, "/e/hosts"
			in.Images = map[string]oci.Rootfs{"/i": {Lowers: []string{"/l"}, Upper: "/u", Work: "/w"}}
			in.Record.Mounts = []container.Mount{{Type: mount.TypeVolume, Source: "/v", Destination: "/v", RW: true}, {Type: mount.TypeBind, Source: "/b", Destination: "/b", RW: true},
				{Type: mount.TypeVolume, Source: "/f", Destination: "/f", RW: true, Foreign: true}, {Type: mount.TypeImage, Name: "x", Destination: "/i"}}
			h.Devices = []api.DeviceMapping{{PathOnHost: "/dev/sda", PathInContainer: "/dev/x"}, {PathOnHost: "/dev/sda"}}
			change(in, h)
		}).Spec
	}
	s := with(func(*Input, *api.HostConfig) {})
	_, got, _ := strings.Cut(mountLines(s), "/dev/shm ")
	_, got, _ = strings.Cut(got, "\n")
	want := `/b bind /b rbind,rprivate
/f bind /f rbind,rprivate
/i overlay overlay ro,rprivate,lowerdir+=/l,upperdir=/u,workdir=/w,idmap
/v bind /v rbind,rprivate,idmap
/etc/hosts bind /e/hosts rbind,rprivate,idmap
/dev/x bind /dev/sda bind,rprivate
`
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := fmt.Sprint(s.Linux.UIDMappings, s.Linux.GIDMappings, namespaceLine(s), len(s.Linux.Devices)); got != "[{0 100000 10} {10 5 10}] [{0 7 9}]mount network=/run/netns/x uts pid ipc user cgroup1" {
		t.Error(got)
	}
	s = with(func(in *Input, h *api.HostConfig) { in.NetNS, h.NetworkMode = "", "none" })
	if got := s.Linux.Sysctl[pingRange]; got != "0 8" {
		t.Error(got)
	}
	s = with(func(in *Input, _ *api.HostConfig) { in.UserNS = "/proc/7/ns/user" })
	if got := fmt.Sprint(s.Linux.UIDMappings, namespaceLine(s)); got != "[]mount network=/run/netns/x uts pid ipc user=/proc/7/ns/user cgroup" {
		t.Error(got)
	}
	s = with(func(_ *Input, h *api.HostConfig) { h.UsernsMode = "host" })
	if strings.Contains(mountLines(s)+namespaceLine(s), "idmap") || len(s.Linux.Devices) != 2 {
		t.Error(mountLines(s), namespaceLine(s))
	}
}
