package runtime_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/runtime"
	"github.com/berth-containers/berth/internal/sys/netns"
)

// inOwnNetwork runs f where the host's network is one of the test's own, with a
// link "out0" (its peer is "out1").
func inOwnNetwork(t *testing.T, f func(t *testing.T)) {
	if os.Getenv("BERTH_TEST_NETWORK") != "" {
		for _, args := range []string{"link add out0 type veth peer name out1", "addr add 10.9.8.7/24 dev out0", "link set out0 up"} {
			if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				t.Fatalf("ip %s: %v: %s", args, err, out)
			}
		}
		f(t)
		return
	}
	ns, err := netns.New(func(*os.File) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	err = netns.Do(ns, func() error {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "BERTH_TEST_NETWORK=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("%v: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func links(t *testing.T) string {
	out, err := exec.Command("ip", "-o", "-4", "addr").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestNetDevices(t *testing.T) {
	inOwnNetwork(t, func(t *testing.T) {
		s := spec("sh", "-c", "cat /sys/class/net/*/flags; ls /sys/class/net; cat /proc/net/fib_trie | grep -m 1 10.9.8.7")
		s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"out0": {Name: "eth7"}}
		// It ends with the container's namespace, so the failures come first.
		for want, change := range map[string]func(*specs.Spec){
			"stat /nope": func(s *specs.Spec) {
				s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: "/stat /nope", Destination: "/x"})
			},
			`linux.netDevices["none9"]: the host has no network device`: func(s *specs.Spec) { s.Linux.NetDevices["none9"] = specs.LinuxNetDevice{} },
		} {
			failing := *s
			linux := *s.Linux
			linux.NetDevices = map[string]specs.LinuxNetDevice{"out0": {Name: "a0"}}
			failing.Linux = &linux
			change(&failing)
			if want == "stat /nope" {
				linux.NetDevices["out1"] = specs.LinuxNetDevice{}
			}
			if _, _, err := run(t, &failing, rootfs(t)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v", err)
			}
			if now := links(t); !strings.Contains(now, "out0 ") || !strings.Contains(now, "10.9.8.7/24") {
				t.Errorf("after a failure: %s", now)
			}
		}
		if got := must(t, s, rootfs(t)); !strings.Contains(got, "eth7\nlo\n") || !strings.Contains(got, "10.9.8.7") {
			t.Errorf("%q", got)
		}
	})
}

func TestInvalidNetDevices(t *testing.T) {
	for want, change := range map[string]func(*specs.Spec){
		`"a/b" cannot be the name`:              func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {Name: "a/b"}} },
		`"sixteenlettersx0" cannot be the name`: func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"sixteenlettersx0": {}} },
		`"a" and "b" would both be called "b"`:  func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"a": {Name: "b"}, "b": {}} },
		"has no network namespace to move them to": func(s *specs.Spec) {
			s.Linux.NetDevices, s.Linux.Namespaces = map[string]specs.LinuxNetDevice{"a": {}}, s.Linux.Namespaces[:2]
		},
	} {
		s := spec("true")
		s.Hostname = ""
		change(s)
		_, err := newRuntime(t).Create(bounded(t), runtime.CreateOptions{ID: "x", Spec: s, Rootfs: rootfs(t)})
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
