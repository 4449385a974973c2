package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/sys/cgroup"
)

// Nobody who asks the new engine sees as running what the shim knows to have
// ended, or does not know at all.
func TestEndsAreToldAtOnce(t *testing.T) {
	b := newBench(t)
	ended, lost, kept := b.run(named("ended")), b.run(named("lost")), b.run(named("kept"))
	b.reopen(func() {
		b.w.exit(ended, 7)
		delete(b.w.processes, lost)
	})
	if s := b.record(ended).State; s.Status != container.Exited || s.ExitCode != 7 || s.Pid != 0 {
		t.Errorf("%+v", s)
	}
	if s := b.record(lost).State; s.Status != container.Exited || s.ExitCode != -1 {
		t.Errorf("%+v", s)
	}
	if s := b.record(kept).State; s.Status != container.Running {
		t.Errorf("%+v", s)
	}
	b.want("endpoint\nprocess\nrootfs\nrootfs\nrootfs")
}

// The exec root was lost, and with it what the shim knew; the kernel still has
// the cgroup.
func TestCgroupOfALostContainer(t *testing.T) {
	if os.Getuid() != 0 || cgroup.Detect() == cgroup.None {
		t.Skip("needs root and a cgroup hierarchy")
	}
	for _, tc := range []struct {
		name    string
		outside bool // the cgroup is not below the engine's parent
		alive   bool // the container's first process is in it
		stays   bool
	}{
		{name: "removed with what is in it"},
		{name: "of somebody else", outside: true, stays: true},
		{name: "not while its process runs", alive: true, stays: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			b.parent = fmt.Sprintf("/berth-engine-test-%d", os.Getpid())
			path := b.parent + "/c"
			if tc.outside {
				path = b.parent + "x/c"
			}
			left := occupied(t, path)
			id := b.run()
			b.verbs.records.Update(id, func(r *container.Record) {
				r.State.CgroupPath = path
				if tc.alive {
					r.State.Pid = left
				}
			})
			if err := b.verbs.records.Save(id); err != nil {
				t.Fatal(err)
			}
			b.reopen(func() { delete(b.w.processes, id) })
			<-b.verbs.lives.Get(id).Current().Settled
			pids, err := cgroup.Open(path).Pids()
			if stays := err == nil && len(pids) == 1; stays != tc.stays || !tc.stays && !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("processes %v, %v", pids, err)
			}
			b.want("rootfs")
		})
	}
}

// occupied makes a cgroup with a process in it; both are gone after the test.
func occupied(t *testing.T, path string) (pid int) {
	t.Helper()
	g, _, err := cgroup.Create(path, cgroup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, g := range []*cgroup.Group{g, cgroup.Open(filepath.Dir(path))} {
			if err := g.Remove(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	cmd := osexec.Command("sleep", "300")
	if g.Dir() != "" { // the unified hierarchy
		dir, err := os.Open(g.Dir())
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // a zombie would stay in the group
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	doors, err := g.Doors()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range doors { // v1
		_, err := d.WriteString(fmt.Sprint(cmd.Process.Pid))
		if err := errors.Join(err, d.Close()); err != nil {
			t.Error(err)
		}
	}
	return cmd.Process.Pid
}

// The shim died in the middle of a start, and the next one has taken over what
// had come about.
func TestAnswerOfAStartIsLost(t *testing.T) {
	b := newBench(t)
	id := b.create(autoRemove)
	b.w.setFail("shim.Start's answer", errdefs.ErrUnavailable)
	b.w.setFail("shim.Signal", shim.ErrNobody) // the next one is not there at once
	if err := b.Start(t.Context(), id); !errdefs.IsUnavailable(err) {
		t.Fatal(err)
	}
	b.nothing()
}

func (w *world) Mounts(context.Context, shim.MountsRequest) (*os.File, error) {
	return os.Open("/proc/self/ns/mnt")
}

func (fakeImages) Commit(context.Context, image.Commit, func(io.Writer) error) (digest.Digest, error) {
	return testImage().ID, nil
}

// once is step for a failure that happens one time.
func (w *world) once(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.fail[name]
	delete(w.fail, name)
	return err
}
