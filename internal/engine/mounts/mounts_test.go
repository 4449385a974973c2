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
		b.WriteString("\n")
	}
	return b.String()
}

func TestRead(t *testing.T) {
	donor := &container.Record{Mounts: []container.Mount{
		{Type: mount.TypeVolume, Name: "theirs", Source: "/vol/", Destination: "/data", RW: true, Anonymous: true},
		{Type: mount.TypeBind, Source: "/src", Destination: "/bind", RW: true},
		{Type: mount.TypeTmpfs, Destination: "/t", RW: true},
	}}
	from := func(ref string) (*container.Record, error) {
		if ref != "donor" {
			return nil, errdefs.ErrNotFound.WithMessage("No such container: " + ref)
		}
		return donor, nil
	}
	for _, tc := range []struct {
		name string
		c    api.Config
		h    api.HostConfig
		want string
		err  string
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
		{name: "twice", h: api.HostConfig{Binds: []string{"/a:/x", "/b:/x/"}}, err: "Duplicate mount point: /x"},
		{name: "root", h: api.HostConfig{Binds: []string{"/a:/"}}, err: "invalid specification: destination can't be '/'"},
		{name: "relative", h: api.HostConfig{Binds: []string{"/a:x"}}, err: "invalid mount path: 'x' mount path must be absolute"},
		{name: "bad mode", h: api.HostConfig{Binds: []string{"/a:/x:ro,rw"}}, err: "invalid mode: ro,rw"},
		{name: "unknown mode", h: api.HostConfig{Binds: []string{"/a:/x:fast"}}, err: "invalid mode: fast"},
		{name: "too many parts", h: api.HostConfig{Binds: []string{"/a:/x:ro:z"}}, err: "invalid volume specification: '/a:/x:ro:z'"},
		{name: "unknown donor", h: api.HostConfig{VolumesFrom: []string{"nobody"}}, err: "No such container: nobody"},
		{name: "unknown type", h: api.HostConfig{Mounts: []mount.Mount{{Type: "npipe", Target: "/x"}}},
			err: `invalid mount config for type "npipe": mount type unknown; use bind, volume or tmpfs`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plans, err := Read(&tc.c, &tc.h, from)
			if tc.err != "" {
				if err == nil || err.Error() != tc.err {
					t.Fatalf("%v; want %s", err, tc.err)
				}
				return
			}
			if err != nil || text(plans) != tc.want {
				t.Fatalf("%v\n%s\nwant:\n%s", err, text(plans), tc.want)
			}
		})
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
