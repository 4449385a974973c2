package supervisor

import (
	"os"
	"strconv"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/shim"
)

// A mount namespace is handed over: that of a container, or one that is made,
// of which no process stays.
func TestMounts(t *testing.T) {
	b := newBench(t)
	if _, err := b.Mounts(b.ctx, shim.MountsRequest{ID: "c1"}); !errdefs.IsNotFound(err) {
		t.Errorf("of a container that does not run: %v", err)
	}
	spec := &specs.Spec{Process: &specs.Process{Args: []string{"true"}}, Linux: &specs.Linux{}}
	own, err := os.Stat("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	same := func(r shim.MountsRequest) {
		t.Helper()
		ns, err := b.Mounts(b.ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		defer ns.Close()
		if info, err := ns.Stat(); err != nil || !os.SameFile(info, own) {
			t.Errorf("another namespace: %v, %v", info, err)
		}
	}
	same(shim.MountsRequest{ID: "c1", Spec: spec})
	list, err := b.List(b.ctx)
	if err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	children, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/children")
	if err != nil || len(children) > 0 {
		t.Errorf("processes %s stay, %v", children, err)
	}
	b.start(b.request("c1", "sleep", "300"))
	same(shim.MountsRequest{ID: "c1"})
	spec.Linux.CgroupsPath = "/c"
	if _, err := b.Mounts(b.ctx, shim.MountsRequest{ID: "c2", Spec: spec}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("with a cgroup: %v", err)
	}
	if err := b.Signal(b.ctx, "c1", "", 9); err != nil {
		t.Fatal(err)
	}
	b.exit("c1", "")
}
