package merge

import (
	"net/netip"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

func TestConfig(t *testing.T) {
	image := &container.Config{
		Env: []string{"PATH=/bin", "A=image"}, Cmd: []string{"sh"}, Entrypoint: []string{"/init"}, User: "app",
		WorkingDir: "/srv", StopSignal: "SIGQUIT", Labels: map[string]string{"l": "image", "m": "image"},
		ExposedPorts: network.PortSet{network.MustParsePort("80/tcp"): {}}, Volumes: map[string]struct{}{"/data": {}},
		Healthcheck: &container.HealthConfig{Test: []string{"CMD", "true"}, Retries: 7},
	}
	for _, tc := range []struct {
		name string
		user container.Config
		want func(*container.Config) bool
	}{
		{"everything from the image", container.Config{}, func(c *container.Config) bool {
			return reflect.DeepEqual(c.Cmd, []string{"sh"}) && reflect.DeepEqual(c.Entrypoint, []string{"/init"}) && c.User == "app" &&
				c.WorkingDir == "/srv" && c.StopSignal == "SIGQUIT" && len(c.ExposedPorts) == 1 && len(c.Volumes) == 1
		}},
		{"command", container.Config{Cmd: []string{"ls"}}, func(c *container.Config) bool {
			return reflect.DeepEqual(c.Cmd, []string{"ls"}) && reflect.DeepEqual(c.Entrypoint, []string{"/init"})
		}},
		{"entrypoint drops the image's command", container.Config{Entrypoint: []string{"/x"}}, func(c *container.Config) bool {
			return len(c.Cmd) == 0 && reflect.DeepEqual(c.Entrypoint, []string{"/x"})
		}},
		{"no entrypoint", container.Config{Entrypoint: []string{""}, Cmd: []string{"ls"}}, func(c *container.Config) bool {
			return reflect.DeepEqual(c.Cmd, []string{"ls"}) && len(c.Entrypoint) == 0
		}},
		{"env and labels", container.Config{Env: []string{"A=user", "B"}, Labels: map[string]string{"l": "user"}}, func(c *container.Config) bool {
			return strings.Join(c.Env, " ") == "A=user B PATH=/bin" && c.Labels["l"] == "user" && c.Labels["m"] == "image"
		}},
		{"health field by field", container.Config{Healthcheck: &container.HealthConfig{Interval: time.Second}}, func(c *container.Config) bool {
			return c.Healthcheck.Test[1] == "true" && c.Healthcheck.Interval == time.Second && c.Healthcheck.Retries == 7
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if c := Config(&tc.user, image); !tc.want(c) {
				t.Fatalf("%+v", c)
			}
		})
	}
	if image.Labels["l"] != "image" {
		t.Fatal("the image was changed")
	}
}

func TestRefusals(t *testing.T) {
	long := strings.Repeat("n", 65)
	for _, tc := range []struct {
		c    *container.Config
		h    *container.HostConfig
		want string
	}{
		{&container.Config{}, nil, "no command specified"},
		{&container.Config{Cmd: []string{"x"}, WorkingDir: "rel"}, nil, "the working directory 'rel' is invalid, it needs to be an absolute path"},
		{&container.Config{Cmd: []string{"x"}, StopSignal: "SIGNO"}, nil, "invalid signal: SIGNO"},
		{&container.Config{Cmd: []string{"x"}, Env: []string{"=x"}}, nil, "invalid environment variable: =x"},
		{nil, &container.HostConfig{AutoRemove: true, RestartPolicy: container.RestartPolicy{Name: "always"}}, "can't create 'AutoRemove' container with restart policy"},
		{nil, &container.HostConfig{PidMode: "bogus"}, "invalid PID mode: bogus"},
		{nil, &container.HostConfig{LogConfig: container.LogConfig{Type: "syslog"}}, `logger: no log driver named 'syslog' is registered`},
		{&container.Config{Cmd: []string{"x", "a\x00b"}}, nil, `invalid command "a\x00b": it contains a zero byte`},
		{&container.Config{Entrypoint: []string{"\x00"}}, nil, `invalid --entrypoint "\x00": it contains a zero byte`},
		{&container.Config{Cmd: []string{"x"}, Env: []string{"A=\x00"}}, nil, `invalid --env "A=\x00": it contains a zero byte`},
		{&container.Config{Cmd: []string{"x"}, WorkingDir: "/a\x00"}, nil, `invalid --workdir "/a\x00": it contains a zero byte`},
		{&container.Config{Cmd: []string{"x"}, User: "u\x00"}, nil, `invalid --user "u\x00": it contains a zero byte`},
		{&container.Config{Cmd: []string{"x"}, Hostname: "a\nb"}, nil, `invalid --hostname "a\nb": it contains a control character`},
		{&container.Config{Cmd: []string{"x"}, Hostname: "a\x00"}, nil, `invalid --hostname "a\x00": it contains a control character`},
		{&container.Config{Cmd: []string{"x"}, Hostname: long}, nil, `invalid --hostname "` + long + `": it is longer than the kernel's 64 bytes`},
		{&container.Config{Cmd: []string{"x"}, Domainname: "a\tb"}, nil, `invalid --domainname "a\tb": it contains a control character`},
		{&container.Config{Cmd: []string{"x"}, Domainname: long}, nil, `invalid --domainname "` + long + `": it is longer than the kernel's 64 bytes`},
		{nil, &container.HostConfig{DNS: []netip.Addr{netip.MustParseAddr("fe80::1%a\nb")}}, `invalid --dns "fe80::1%a\nb": it contains a control character`},
		{nil, &container.HostConfig{DNSSearch: []string{"a\nb"}}, `invalid --dns-search "a\nb": it contains a control character`},
		{nil, &container.HostConfig{DNSOptions: []string{"ndots:1\r"}}, `invalid --dns-option "ndots:1\r": it contains a control character`},
		{nil, &container.HostConfig{ExtraHosts: []string{"a:fe80::1%\nb"}}, `invalid --add-host "a:fe80::1%\nb": it contains a control character`},
		{nil, &container.HostConfig{ExtraHosts: []string{"a"}}, `invalid --add-host "a": write it as name:address`},
		{nil, &container.HostConfig{ExtraHosts: []string{"a:b"}}, `invalid --add-host "a:b": write it as name:address`},
		{nil, &container.HostConfig{Runtime: "runsc"}, "unknown or invalid runtime name: runsc"},
		{nil, &container.HostConfig{NetworkMode: "container:x", PublishAllPorts: true}, "conflicting options: port publishing and the container type network mode"},
	} {
		c := tc.c
		if c == nil {
			c = &container.Config{Cmd: []string{"x"}}
		}
		err := CheckConfig(c)
		if err == nil {
			err = CheckHostConfig(HostConfig(tc.h, false), c)
		}
		if !errdefs.IsInvalidArgument(err) || err.Error() != tc.want {
			t.Errorf("%v; want %s", err, tc.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	h := HostConfig(nil, false)
	if h.NetworkMode != "bridge" || h.IpcMode != "private" || h.ShmSize != 64<<20 || h.RestartPolicy.Name != "no" {
		t.Fatalf("%+v", h)
	}
	if err := CheckHostConfig(h, &container.Config{}); err != nil {
		t.Fatal(err)
	}
}

func TestAccepted(t *testing.T) {
	c := &container.Config{Cmd: []string{"sh", "-c", "a\nb"}, Env: []string{"A=1\n2"}, Hostname: strings.Repeat("n", 64), Domainname: "example.org"}
	if err := CheckConfig(c); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "berth", "runc"} {
		h := HostConfig(&container.HostConfig{Runtime: name, ExtraHosts: []string{"a:10.0.0.1", "b=::1", "c:host-gateway"},
			DNS: []netip.Addr{netip.MustParseAddr("10.0.0.2")}, DNSSearch: []string{"."}, DNSOptions: []string{"ndots:2"}}, true)
		if err := CheckHostConfig(h, c); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestSignal(t *testing.T) {
	for in, want := range map[string]syscall.Signal{"9": 9, "KILL": 9, "sigterm": 15, "SIGWINCH": 28, "HUP": 1, "SYS": 31, "RTMIN+3": 37, "SIGRTMAX-1": 63, "POLL": 29,
		"0": 0, "65": 0, "": 0, "SIG": 0, "9x": 0, "RTMIN+99": 0, "-1": 0} {
		got, err := Signal(in)
		if got != want || (want == 0) != errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
}

func FuzzSignal(f *testing.F) {
	f.Add("SIGRTMIN+1")
	f.Add("9")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := Signal(s); err == nil && (n < 1 || n > 64) {
			t.Fatal(n)
		}
	})
}
