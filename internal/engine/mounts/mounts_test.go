package mounts

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"github.com/berth-containers/berth/internal/container"
)

// text shows plans one a line, an anonymous volume's name as "?".
func text(plans []Plan) string {
	var b strings.Builder
	for _, p := range plans {
		src := p.Source + p.Name
		if p.Anonymous {
			src = "?"
		}
		access := "ro"
		if p.RW {
			access = "rw"
		}
		fmt.Fprintf(&b, "%s %s %s %s", p.Type, src, p.Destination, access)
		if p.Propagation != "" {
			fmt.Fprintf(&b, " %s", p.Propagation)
		}
		if p.CreateSource {
			b.WriteString(" create")
		}
		if p.Inherited {
			b.WriteString(" inherited")
		}
		if p.IDMap != "" {
			b.WriteString(" " + p.IDMap)
		}
		if p.Subpath != "" {
			b.WriteString(" " + p.Subpath)
		}
		if len(p.Options) > 0 {
			fmt.Fprint(&b, " ", p.Options)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// donor is the container of --volumes-from.
func donor(ref string) (*container.Record, error) {
	if ref != "donor" {
		return nil, errdefs.ErrNotFound.WithMessage("No such container: " + ref)
	}
	return &container.Record{Mounts: []container.Mount{
		{Type: mount.TypeVolume, Name: "theirs", Source: "/vol/", Destination: "/data", RW: true, Anonymous: true},
		{Type: mount.TypeBind, Source: "/src", Destination: "/bind", RW: true},
		{Type: mount.TypeTmpfs, Destination: "/t", RW: true},
	}}, nil
}

func TestRead(t *testing.T) {
	for _, tc := range []struct {
		name string
		c    api.Config
		h    api.HostConfig
		want string
	}{
		{name: "binds", h: api.HostConfig{Binds: []string{"/a:/x", "/b:/y:ro,rshared", "vol:/z", "/w"}},
			want: "volume ? /w rw\nbind /a /x rw rprivate create\nbind /b /y ro rshared create\nvolume vol /z rw\n"},
		{name: "VOLUME", c: api.Config{Volumes: map[string]struct{}{"/data/": {}}}, want: "volume ? /data rw\n"},
		{name: "VOLUME is covered by a bind", c: api.Config{Volumes: map[string]struct{}{"/data": {}}}, h: api.HostConfig{Binds: []string{"/a:/data"}},
			want: "bind /a /data rw rprivate create\n"},
		{name: "VOLUME is covered by a tmpfs", c: api.Config{Volumes: map[string]struct{}{"/data": {}}}, h: api.HostConfig{Tmpfs: map[string]string{"/data": ""}}},
		{name: "volumes-from", h: api.HostConfig{VolumesFrom: []string{"donor:ro"}, Binds: []string{"/own:/bind"}},
			want: "bind /own /bind rw rprivate create\nvolume /vol/theirs /data ro inherited\n"},
		{name: "parents first", h: api.HostConfig{Binds: []string{"/a:/x/y", "/b:/x"}}, want: "bind /b /x rw rprivate create\nbind /a /x/y rw rprivate create\n"},
		{name: "mount types", h: api.HostConfig{Mounts: []mount.Mount{
			{Type: "bind", Source: "/a", Target: "/a", ReadOnly: true}, {Type: "volume", Source: "vv", Target: "/b"},
			{Type: "volume", Target: "/c"}, {Type: "tmpfs", Target: "/d"}}},
			want: "bind /a /a ro rprivate\nvolume vv /b rw\nvolume ? /c rw\ntmpfs  /d rw\n"},
		{name: "image and subpaths", h: api.HostConfig{Mounts: []mount.Mount{
			{Type: "image", Source: "alpine", Target: "/i", ImageOptions: &mount.ImageOptions{Subpath: "etc"}},
			{Type: "volume", Source: "vv", Target: "/b", VolumeOptions: &mount.VolumeOptions{Subpath: "a/b", DriverConfig: &mount.Driver{Name: "local", Options: map[string]string{"type": "tmpfs"}}}}}},
			want: "volume vv /b rw a/b map[type:tmpfs]\nimage alpine /i ro rprivate etc\n"},
		{name: "modes of a donor", h: api.HostConfig{VolumesFrom: []string{"donor:Z,ro"}}, want: "bind /src /bind ro inherited\nvolume /vol/theirs /data ro inherited\n"},
		{name: "ID maps", h: api.HostConfig{Annotations: map[string]string{IDMapAnnotation + "/x/": "match-user:app", IDMapAnnotation + "/y": "", "other": "x"}, Binds: []string{"/a:/x", "/a:/y"}},
			want: "bind /a /x rw rprivate create match-user:app\nbind /a /y rw rprivate create match-user\n"},
		{name: "volume driver", h: api.HostConfig{Binds: []string{"v1:/x", "/a:/b"}, VolumeDriver: "local"}, want: "bind /a /b rw rprivate create\nvolume v1 /x rw\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plans, err := Read(&tc.c, &tc.h, donor)
			if err != nil || text(plans) != tc.want {
				t.Fatalf("%v\n%s\nwant:\n%s", err, text(plans), tc.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name string
		c    api.Config
		h    api.HostConfig
		err  string
	}{
		{name: "twice", h: api.HostConfig{Binds: []string{"/a:/x", "/b:/x/"}}, err: "Duplicate mount point: /x"},
		{name: "root", h: api.HostConfig{Binds: []string{"/a:/"}}, err: `invalid volume specification: '/a:/': invalid mount config for type "bind": invalid specification: destination can't be '/'`},
		{name: "relative", h: api.HostConfig{Binds: []string{"/a:x"}}, err: `invalid volume specification: '/a:x': invalid mount config for type "bind": invalid mount path: 'x' mount path must be absolute`},
		{name: "bad mode", h: api.HostConfig{Binds: []string{"/a:/x:ro,rw"}}, err: "invalid mode: ro,rw"},
		{name: "unknown mode", h: api.HostConfig{Binds: []string{"/a:/x:fast"}}, err: "invalid mode: fast"},
		{name: "too many parts", h: api.HostConfig{Binds: []string{"/a:/x:ro:z"}}, err: "invalid volume specification: '/a:/x:ro:z'"},
		{name: "unknown donor", h: api.HostConfig{VolumesFrom: []string{"nobody"}}, err: "No such container: nobody"},
		{name: "unknown type", h: api.HostConfig{Mounts: []mount.Mount{{Type: "npipe", Target: "/x"}}},
			err: `invalid mount config for type "npipe": mount type unknown`},
		{name: "unknown volume driver", h: api.HostConfig{Binds: []string{"v1:/x"}, VolumeDriver: "ceph"}, err: `error looking up volume plugin ceph: plugin "ceph" not found`},
		{name: "unknown driver of a VOLUME", c: api.Config{Volumes: map[string]struct{}{"/data": {}}}, h: api.HostConfig{VolumeDriver: "ceph"}, err: `error looking up volume plugin ceph: plugin "ceph" not found`},
		{name: "unknown driver of a mount", h: api.HostConfig{Mounts: []mount.Mount{{Type: "volume", Target: "/x", VolumeOptions: &mount.VolumeOptions{DriverConfig: &mount.Driver{Name: "ceph"}}}}}, err: `error looking up volume plugin ceph: plugin "ceph" not found`},
		{name: "bind and tmpfs", h: api.HostConfig{Binds: []string{"/a:/x"}, Tmpfs: map[string]string{"/x/": ""}}, err: "Duplicate mount point: /x"},
		{name: "nocopy of a bind", h: api.HostConfig{Binds: []string{"/a:/x:nocopy"}}, err: `invalid volume specification: '/a:/x:nocopy': invalid mount config for type "bind": field VolumeOptions must not be specified`},
		{name: "propagation of a volume", h: api.HostConfig{Binds: []string{"vv:/x:shared"}}, err: `invalid volume specification: 'vv:/x:shared': invalid mount config for type "volume": field BindOptions must not be specified`},
		{name: "propagation of a donor", h: api.HostConfig{VolumesFrom: []string{"donor:shared"}}, err: "invalid mode: shared"},
		{name: "no donor", h: api.HostConfig{VolumesFrom: []string{""}}, err: "volumes-from specification cannot be an empty string"},
		{name: "subpath out", h: api.HostConfig{Mounts: []mount.Mount{{Type: "volume", Source: "vv", Target: "/b", VolumeOptions: &mount.VolumeOptions{Subpath: "../x"}}}},
			err: `invalid mount config for type "volume": subpath must be a relative path within the volume`},
		{name: "subpath of an anonymous volume", h: api.HostConfig{Mounts: []mount.Mount{{Type: "volume", Target: "/b", VolumeOptions: &mount.VolumeOptions{Subpath: "x"}}}},
			err: `invalid mount config for type "volume": must not set Subpath when using anonymous volumes`},
		{name: "image without source", h: api.HostConfig{Mounts: []mount.Mount{{Type: "image", Target: "/b"}}}, err: `invalid mount config for type "image": field Source must not be empty`},
		{name: "options of another type", h: api.HostConfig{Mounts: []mount.Mount{{Type: "tmpfs", Target: "/b", BindOptions: &mount.BindOptions{}}}},
			err: `invalid mount config for type "tmpfs": field BindOptions must not be specified`},
		{name: "tmpfs option", h: api.HostConfig{Mounts: []mount.Mount{{Type: "tmpfs", Target: "/b", TmpfsOptions: &mount.TmpfsOptions{Options: [][]string{{"uid", "5"}}}}}},
			err: `invalid mount config for type "tmpfs": invalid option: uid`},
		{name: "consistency", h: api.HostConfig{Mounts: []mount.Mount{{Type: "tmpfs", Target: "/b", Consistency: "fast"}}},
			err: `invalid mount config for type "tmpfs": invalid consistency: fast`},
		{name: "recursion without ro", h: api.HostConfig{Mounts: []mount.Mount{{Type: "bind", Source: "/a", Target: "/b", BindOptions: &mount.BindOptions{ReadOnlyNonRecursive: true}}}},
			err: `invalid mount config for type "bind": mount options conflict: !ReadOnly && BindOptions.ReadOnlyNonRecursive`},
		{name: "both recursions", h: api.HostConfig{Mounts: []mount.Mount{{Type: "bind", Source: "/a", Target: "/b", ReadOnly: true,
			BindOptions: &mount.BindOptions{ReadOnlyNonRecursive: true, ReadOnlyForceRecursive: true}}}},
			err: `invalid mount config for type "bind": mount options conflict: ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive`},
		{name: "ID map without a bind", h: api.HostConfig{Annotations: map[string]string{IDMapAnnotation + "/x": "match-user"}, Binds: []string{"vv:/x"}},
			err: "invalid ID mapping of /x: no bind is mounted there"},
		{name: "unknown ID map", h: api.HostConfig{Annotations: map[string]string{IDMapAnnotation + "/x": "userns:me"}, Binds: []string{"/a:/x"}},
			err: `invalid ID mapping "userns:me" of the bind at /x: use match-user, match-user:USER or userns`},
	} {
		if _, err := Read(&tc.c, &tc.h, donor); err == nil || err.Error() != tc.err {
			t.Errorf("%s: %v; want %s", tc.name, err, tc.err)
		}
	}
}

func FuzzBind(f *testing.F) {
	for _, s := range []string{"/a:/b", "vol:/b:ro", "/x", "::", "a:b:c", "/a:/b:z,ro"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Bind(s)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Fatal(err)
			}
			return
		}
		if !path.IsAbs(p.Destination) || p.Destination != path.Clean(p.Destination) || p.Destination == "/" {
			t.Fatalf("%+v", p)
		}
		if p.Type == mount.TypeBind && !path.IsAbs(p.Source) || p.Type == mount.TypeVolume && p.Name == "" {
			t.Fatalf("%+v", p)
		}
	})
}
