package hostspec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	api "github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/spec"
)

func input(change func(*api.HostConfig)) spec.Input {
	h := &api.HostConfig{NetworkMode: "bridge"}
	change(h)
	return spec.Input{Record: &container.Record{ID: strings.Repeat("a", 64), Config: &api.Config{Cmd: []string{"sh"}}, HostConfig: h}, NetNS: "/x", CgroupParent: "/berth"}
}

// kernel is one with AppArmor, as far as profiles go.
type kernel struct {
	profiles []string
	fail     error
}

func (k *kernel) host() Host {
	return Host{AppArmor: true, Loaded: func(name string) (bool, error) { return slices.Contains(k.profiles, name), nil },
		Load: func(name string) error {
			if k.fail == nil {
				k.profiles = append(k.profiles, name)
			}
			return k.fail
		}}
}

func TestAppArmorProfiles(t *testing.T) {
	for _, tc := range []struct {
		name    string
		options []string
		fail    error
		want    string // the profile, or the error
		loaded  string
	}{
		{"default", nil, nil, "docker-default", "mine docker-default"},
		{"loaded", []string{"apparmor=mine"}, nil, "mine", "mine"},
		{"unconfined", []string{"apparmor=unconfined"}, nil, "unconfined", "mine"},
		{"unknown", []string{"apparmor=other"}, nil, "security-opt apparmor=other: the kernel has no such profile; load it with apparmor_parser", "mine"},
		{"no parser", nil, errors.New("no apparmor_parser"), "AppArmor is enabled on this host but its profile docker-default could not be loaded (install apparmor_parser, or run with --security-opt apparmor=unconfined): no apparmor_parser", "mine"},
	} {
		k := &kernel{profiles: []string{"mine"}, fail: tc.fail}
		out, err := k.host().Build(input(func(h *api.HostConfig) { h.SecurityOpt = tc.options }))
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = out.Spec.Process.ApparmorProfile
		}
		if got != tc.want || strings.Join(k.profiles, " ") != tc.loaded {
			t.Errorf("%s: %q with %v", tc.name, got, k.profiles)
		}
	}
}

const files = `{"cdiVersion":"0.6.0","kind":"%s/%s","devices":[
{"name":"0","containerEdits":{"deviceNodes":[{"path":"/dev/null","hostPath":"/dev/null","type":"c","major":1,"minor":3}],"env":["GPU=0"]}},
{"name":"1","containerEdits":{"env":["GPU1=1"]}},{"name":"all","containerEdits":{"env":["GPU=all"]}}],
"containerEdits":{"mounts":[{"hostPath":"/lib","containerPath":"/cdi","options":["ro","rbind"]}],
"hooks":[{"hookName":"createContainer","path":"/bin/hook","args":["hook","x"]}]}}`

func TestDevices(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range [][2]string{{"acme.com", "thing"}, {"nvidia.com", "gpu"}} {
		if err := os.WriteFile(filepath.Join(dir, kind[0]+".json"), fmt.Appendf(nil, files, kind[0], kind[1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "broken.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	gpu := [][]string{{"gpu"}}
	for _, tc := range []struct {
		request api.DeviceRequest
		want    string
	}{
		{api.DeviceRequest{Driver: "cdi", DeviceIDs: []string{"acme.com/thing=0"}}, "GPU=0"},
		{api.DeviceRequest{Driver: "cdi"}, ""},
		{api.DeviceRequest{Count: -1, Capabilities: gpu}, "GPU=all"},
		{api.DeviceRequest{Count: 2, Capabilities: [][]string{{"tpu"}, {"gpu", "utility"}}}, "GPU=0 GPU1=1"},
		{api.DeviceRequest{Driver: "nvidia", DeviceIDs: []string{"1"}}, "GPU1=1"},
		{api.DeviceRequest{Driver: "nvidia.cdi", DeviceIDs: []string{"acme.com/thing=1"}}, "GPU1=1"},
		{api.DeviceRequest{Count: 3, Capabilities: gpu}, "unresolvable CDI devices nvidia.com/gpu=2"},
		{api.DeviceRequest{Driver: "cdi", DeviceIDs: []string{"acme.com/thing=9"}}, "unresolvable CDI devices acme.com/thing=9"},
		{api.DeviceRequest{Driver: "cdi", DeviceIDs: []string{"acme.com/thing=9"}}, "broken.json"},
		{api.DeviceRequest{Driver: "cdi", DeviceIDs: []string{"/dev/x"}}, `invalid CDI device name "/dev/x"`},
		{api.DeviceRequest{Driver: "cdi", Count: 1}, "unexpected count in CDI device request"},
		{api.DeviceRequest{Driver: "cdi", Options: map[string]string{"a": "b"}}, "unexpected options in CDI device request"},
		{api.DeviceRequest{Count: 1, DeviceIDs: []string{"0"}, Capabilities: gpu}, "cannot set both Count and DeviceIDs on device request"},
		{api.DeviceRequest{Driver: "amd", Count: -1}, `could not select device driver "amd" with capabilities: []`},
		{api.DeviceRequest{Driver: "tpu", Count: -1}, `could not select device driver "tpu" with capabilities: []`},
		{api.DeviceRequest{Count: -1, Capabilities: [][]string{{"tpu"}}}, `could not select device driver "" with capabilities: [[tpu]]`},
	} {
		out, err := Host{CDIDirs: []string{dir}}.Build(input(func(h *api.HostConfig) { h.DeviceRequests = []api.DeviceRequest{tc.request} }))
		if err != nil {
			if !strings.Contains(err.Error(), tc.want) || tc.want == "" {
				t.Errorf("%+v: %v, want %s", tc.request, err, tc.want)
			}
			continue
		}
		env := slices.DeleteFunc(out.Spec.Process.Env, func(e string) bool { return !strings.HasPrefix(e, "GPU") })
		if got := strings.Join(env, " "); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.request, got, tc.want)
		}
		if tc.want != "" && (out.Spec.Hooks == nil || len(out.Spec.Hooks.CreateContainer) != 1 ||
			!slices.ContainsFunc(out.Spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/cdi" })) {
			t.Errorf("%+v: the edits for all devices are not there", tc.request)
		}
	}
	_, err := Host{}.Build(input(func(h *api.HostConfig) { h.DeviceRequests = []api.DeviceRequest{{Count: -1, Capabilities: gpu}} }))
	if err == nil || err.Error() != `could not select device driver "" with capabilities: [[gpu]]` {
		t.Error(err)
	}
}
