package revise

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/container"
)

func read(t *testing.T, text string) (c Changes) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfig(t *testing.T) {
	old := &api.Config{Env: []string{"A=1", "B=2"}, Labels: map[string]string{"x": "1", "y": "2"}}
	for body, want := range map[string]string{
		`{}`: "[A=1 B=2] map[x:1 y:2]",
		`{"EnvAdd":["B=3","C="],"EnvRemove":["A"]}`:           "[B=3 C=] map[x:1 y:2]",
		`{"LabelsAdd":{"x":"9","z":""},"LabelsRemove":["y"]}`: "[A=1 B=2] map[x:9 z:]",
		`{"EnvAdd":["C"]}`:          "!NAME=VALUE",
		`{"EnvRemove":["C"]}`:       "!no environment variable C",
		`{"LabelsRemove":["none"]}`: "!no label none",
		`{"LabelsAdd":{"":"x"}}`:    "!no name",
	} {
		got, err := Config(old, read(t, body))
		if refused(t, body, want, err) {
			continue
		}
		if s := fmt.Sprint(got.Env, got.Labels); s != want {
			t.Errorf("%s: %s, want %s", body, s, want)
		}
	}
	if fmt.Sprint(old.Env, old.Labels) != "[A=1 B=2] map[x:1 y:2]" {
		t.Error("the old configuration was written to")
	}
}

func refused(t *testing.T, body, want string, err error) bool {
	t.Helper()
	refusal, expected := strings.CutPrefix(want, "!")
	if expected != (err != nil) || expected && (!strings.Contains(err.Error(), refusal) || !errdefs.IsInvalidArgument(err)) {
		t.Errorf("%s: %v, want %s", body, err, want)
	}
	return err != nil
}

func TestPorts(t *testing.T) {
	old := &api.HostConfig{NetworkMode: "bridge"}
	if err := json.Unmarshal([]byte(`{"80/tcp":[{"HostPort":"8080"},{"HostIp":"127.0.0.1","HostPort":"8081"}],"53/udp":[{}]}`), &old.PortBindings); err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		`{"PortBindingsAdd":{"80/tcp":[{"HostPort":"9090"}]}}`:                          "127.0.0.1:8081:80/tcp :53/udp 8080:80/tcp 9090:80/tcp",
		`{"PortBindingsAdd":{"80/tcp":[{"HostPort":"8080"}],"81/tcp":[]}}`:              "127.0.0.1:8081:80/tcp :53/udp 8080:80/tcp :81/tcp",
		`{"PortBindingsRemove":["80"]}`:                                                 ":53/udp",
		`{"PortBindingsRemove":["8080:80/tcp","53/udp"]}`:                               "127.0.0.1:8081:80/tcp",
		`{"PortBindingsRemove":["127.0.0.1:8081:80"]}`:                                  ":53/udp 8080:80/tcp",
		`{"PortBindingsRemove":["0.0.0.0:8080:80"]}`:                                    "127.0.0.1:8081:80/tcp :53/udp",
		`{"PortBindingsRemove":["80"],"PortBindingsAdd":{"80/tcp":[{"HostPort":"1"}]}}`: "1:80/tcp :53/udp",
		`{"PortBindingsRemove":["8082:80"]}`:                                            "!does not publish 8082:80",
		`{"PortBindingsRemove":["53"]}`:                                                 "!does not publish 53",
		`{"PortBindingsRemove":["x"]}`:                                                  "!PORT[/PROTOCOL]",
	} {
		got, err := HostConfig(old, read(t, body))
		if refused(t, body, want, err) {
			continue
		}
		count := 0
		for port, bs := range got.PortBindings {
			for _, b := range bs {
				ip := ""
				if b.HostIP.IsValid() {
					ip = b.HostIP.String() + ":"
				}
				count++
				if s := ip + b.HostPort + ":" + port.String(); !strings.Contains(" "+want+" ", " "+s+" ") {
					t.Errorf("%s: %s is not in %s", body, s, want)
				}
			}
		}
		if count != len(strings.Fields(want)) {
			t.Errorf("%s: %v, want %s", body, got.PortBindings, want)
		}
	}
	if _, err := HostConfig(&api.HostConfig{NetworkMode: "host"}, Changes{PortBindingsAdd: network.PortMap{network.MustParsePort("80/tcp"): nil}}); err == nil {
		t.Error("ports in the host's network")
	}
}

func TestMounts(t *testing.T) {
	h := &api.HostConfig{Binds: []string{"/a:/a:ro", "v:/v"}, Mounts: []mount.Mount{{Target: "/m"}}, Tmpfs: map[string]string{"/t": ""}}
	ch := Changes{MountsRemove: []string{"/v/", "/t"}, MountsAdd: []mount.Mount{{Type: mount.TypeTmpfs, Target: "/m"}}}
	got, err := HostConfig(h, ch)
	if err != nil || fmt.Sprintf("%v %v", got.Binds, got.Tmpfs) != "[/a:/a:ro] map[]" || len(got.Mounts) != 1 || got.Mounts[0].Type != mount.TypeTmpfs || len(h.Tmpfs) != 1 {
		t.Errorf("%+v %v", got, err)
	}
	old := []container.Mount{{Destination: "/a"}, {Destination: "/m", Name: "old"}, {Destination: "/v"}}
	list, err := Remount(old, []container.Mount{{Destination: "/m", Name: "new"}}, h.Tmpfs, ch)
	if err != nil || len(list) != 2 || list[1].Name != "new" || len(old) != 3 {
		t.Errorf("%+v %v", list, err)
	}
	if _, err := Remount(old, nil, nil, Changes{MountsRemove: []string{"/none"}}); err == nil {
		t.Error("a mount that is not there was removed")
	}
}
