package version

import (
	"encoding/json"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/image"
)

func TestCheck(t *testing.T) {
	for _, row := range []struct{ name, want string }{
		{"1.24", ""},
		{"1.44", ""},
		{Newest, ""},
		{"1.23", "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"},
		{"1.99", "client version 1.99 is too new. Maximum supported API version is " + Newest},
		{"2.0", "client version 2.0 is too new. Maximum supported API version is " + Newest},
		{"1", `invalid API version "1": use one from 1.24 to ` + Newest},
		{"1.4.4", `invalid API version "1.4.4": use one from 1.24 to ` + Newest},
		{"..", `invalid API version "..": use one from 1.24 to ` + Newest},
	} {
		_, err := Check(row.name)
		got := ""
		if err != nil {
			got = err.Error()
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%s: not InvalidArgument", row.name)
			}
		}
		if got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, row := range []struct{ path, name, rest string }{
		{"/v1.44/containers/json", "1.44", "/containers/json"},
		{"/containers/json", "", "/containers/json"},
		{"/volumes", "", "/volumes"},
		{"/v1.44", "1.44", "/"},
		{"/v", "", "/v"},
		{"/", "", "/"},
	} {
		if name, rest := Cut(row.path); name != row.name || rest != row.rest {
			t.Errorf("%s: %q %q", row.path, name, rest)
		}
	}
}

func TestShim(t *testing.T) {
	event := events.Message{Type: "container", Action: "die", Actor: events.Actor{ID: "c1", Attributes: map[string]string{"image": "busybox"}}, TimeNano: 1700000000000000001}
	inspect := map[string]any{"NetworkSettings": map[string]any{"Networks": map[string]any{"bridge": map[string]any{"IPAddress": "10.0.0.2", "IPPrefixLen": 16}}}}
	for _, row := range []struct {
		name, version, operation string
		body                     any
		want                     string
	}{
		{"nothing to do", Newest, "SystemEvents", map[string]int{"a": 1}, `{"a":1}`},
		{"other operation", "1.24", "ContainerTop", map[string]int{"a": 1}, `{"a":1}`},
		{"event", "1.51", "SystemEvents", event,
			`{"Action":"die","Actor":{"Attributes":{"image":"busybox"},"ID":"c1"},"Type":"container","from":"busybox","id":"c1","status":"die","timeNano":1700000000000000001}`},
		{"event today", "1.52", "SystemEvents", event,
			`{"Type":"container","Action":"die","Actor":{"ID":"c1","Attributes":{"image":"busybox"}},"timeNano":1700000000000000001}`},
		{"list", "1.43", "ImageList", []image.Summary{{ID: "i", Size: 9007199254740993}},
			`[{"Containers":-1,"Created":0,"Id":"i","Labels":null,"ParentId":"","RepoDigests":null,"RepoTags":null,"SharedSize":0,"Size":9007199254740993,"VirtualSize":9007199254740993}]`},
		{"network settings", "1.51", "ContainerInspect", inspect,
			`{"NetworkSettings":{"Bridge":"","EndpointID":"","Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"HairpinMode":false,"IPAddress":"10.0.0.2","IPPrefixLen":16,"IPv6Gateway":"","LinkLocalIPv6Address":"","LinkLocalIPv6PrefixLen":0,"MacAddress":"","Networks":{"bridge":{"IPAddress":"10.0.0.2","IPPrefixLen":16}},"SecondaryIPAddresses":null,"SecondaryIPv6Addresses":null}}`},
		{"empty list", "1.24", "ImageList", []image.Summary{}, `[]`},
	} {
		t.Run(row.name, func(t *testing.T) {
			v, err := Check(row.version)
			if err != nil {
				t.Fatal(err)
			}
			body, err := Shim(v, row.operation, row.body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(body)
			if err != nil || string(got) != row.want {
				t.Errorf("%s\nwant %s (%v)", got, row.want, err)
			}
		})
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"/v1.44/x", "/v1..4", "/v", "/v99999999999999.1/", "//", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		name, rest := Cut(path)
		if name == "" {
			return
		}
		if v, err := Check(name); err == nil && (v.Before(Oldest) || Latest().less(v)) {
			t.Errorf("%q accepted; rest %q", name, rest)
		}
	})
}
