package wire

import (
	"bytes"
	"errors"
	"io"
	"os"
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/sys/process"
	"github.com/berth-containers/berth/internal/sys/seccomp"
)

func ptr[T any](v T) *T { return &v }

func full() *Config {
	return &Config{
		Exec: true, ExecFlags: 7,
		Process: &specs.Process{
			Terminal: true, ConsoleSize: &specs.Box{Height: 1, Width: 2},
			User: specs.User{UID: 3, GID: 4, Umask: ptr(uint32(0)), AdditionalGids: []uint32{5, 6}, Username: "web"},
			Args: []string{"a", ""}, Env: []string{"X=ä\n"}, Cwd: "/",
			Capabilities: &specs.LinuxCapabilities{Bounding: []string{"B"}, Effective: []string{"E"}, Inheritable: []string{"I"}, Permitted: []string{"P"}, Ambient: []string{"A"}},
			Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Hard: ^uint64(0), Soft: 1}}, NoNewPrivileges: true, OOMScoreAdj: ptr(-500),
		},
		Seccomp: &seccomp.Filter{Prog: []byte{0, 1, 255}, Flags: 2}, Listener: "/agent\x00{}", Gate: true, Preserved: []int{3, 5},
		Attributes: process.Attributes{
			Scheduler:  &process.Scheduler{Policy: 1, Flags: 2, Nice: -3, Priority: 4, Runtime: 5, Deadline: 6, Period: ^uint64(0)},
			IOPriority: 7, Affinity: process.Mask{8, 9}, Memory: &process.MemoryPolicy{Mode: 10, Nodes: process.Mask{11}},
			Personality: ptr(uint32(12)), Label: process.Label{AppArmor: "a", SELinux: "s"},
		},
		ListenFDs: 2, NewNet: true, NewCgroup: true, CgroupV2: true,
		User: true, UID: 11, GID: 12, Joined: true, NewTime: true, TimeOffsets: []TimeOffset{{"monotonic", -5, 6}},
		Joins: []Join{{Flag: 1 << 30, Path: "/proc/1/ns/net"}}, Hostname: "h", Domainname: "d", Sysctl: []Sysctl{{"net.x", "/proc/sys/net/x", "1"}},
		Root: Root{
			Path: "/r", Rootfs: &oci.Rootfs{Lowers: []string{"l"}, Upper: "u", Work: "w", Host: true, Hidden: []string{"/etc/shadow"}},
			Readonly: true, Propagation: "rslave", Mounts: []specs.Mount{{Destination: "/d", Type: "bind", Source: "/s", Options: []string{"ro"},
				UIDMappings: []specs.LinuxIDMapping{{ContainerID: 1, HostID: 2, Size: 3}}, GIDMappings: []specs.LinuxIDMapping{{ContainerID: 4, HostID: 5, Size: 6}}}},
			Devices: []specs.LinuxDevice{{Path: "/dev/x", Type: "c", Major: 1, Minor: 2, FileMode: ptr(os.FileMode(0o600)), UID: ptr(uint32(7)), GID: ptr(uint32(8))}},
			Masked:  []string{"/m"}, ReadOnly: []string{"/o"}, Label: "system_u:object_r:container_file_t:s0", NoPivot: true, Mapped: true, InPlace: true, SharedPid: true,
		},
		Hooks: ContainerHooks{Runtime: true, Create: []specs.Hook{{Path: "/h", Args: []string{"h"}, Env: []string{"A=b"}, Timeout: ptr(5)}},
			Start: []specs.Hook{{Path: "/s"}}, CreatingState: "{}", CreatedState: "{ }"},
		KeepKeyring: true,
	}
}

func TestConfigRoundTrip(t *testing.T) {
	for name, want := range map[string]*Config{"full": full(), "empty": {}} {
		var got Config
		if err := got.Unpack(want.Pack()); err != nil {
			t.Fatal(name, err)
		}
		if !reflect.DeepEqual(&got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(full().Pack())
	f.Add((&Config{}).Pack())
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c, again Config
		if c.Unpack(b) != nil {
			return
		}
		if err := again.Unpack(c.Pack()); err != nil || !reflect.DeepEqual(c, again) {
			t.Fatalf("%v: %+v, %+v", err, c, again)
		}
	})
}

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	failure := &Failure{Cause: NotFound, Message: "no"}
	for _, payload := range [][]byte{nil, failure.Payload()} {
		if err := Write(&b, Failed, payload); err != nil {
			t.Fatal(err)
		}
	}
	if k, p, err := Read(&b); k != Failed || len(p) != 0 || err != nil {
		t.Error(k, p, err)
	}
	for _, n := range []int{-1, 0, 300} {
		if got := ParseAsk(AskPayload(n)); got != n {
			t.Errorf("asked for %d, got %d", n, got)
		}
	}
	if _, p, err := Read(&b); err != nil || *ParseFailure(p) != *failure {
		t.Error(p, err)
	}
	if _, _, err := Read(&b); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if _, _, err := Read(bytes.NewReader([]byte{'C', 255, 255, 255, 255})); err == nil {
		t.Error("a frame of 4 GiB was taken")
	}
}
