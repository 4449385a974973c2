package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/shim"
)

func TestRestartPolicy(t *testing.T) {
	b := newBench(t)
	id := b.run(policy("on-failure"))
	ended, err := b.Wait(t.Context(), id, api.WaitConditionNotRunning)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 2; i++ {
		b.w.exit(id, 1)
		b.until("it runs again", func() bool { return b.record(id).RestartCount == i && b.status(id) == container.Running })
	}
	select {
	case a := <-ended:
		t.Fatal("a restart is no end", a)
	default:
	}
	b.w.exit(id, 0)
	if a := b.answer(ended); a.StatusCode != 0 {
		t.Fatal(a)
	}
	b.want("rootfs")
}

func TestStopBetweenRuns(t *testing.T) {
	b := newBench(t)
	id := b.run(policy("always"))
	l := b.verbs.lives.Get(id)
	for range 6 { // the pause is seconds by then
		l.Pause(0)
	}
	b.w.exit(id, 4)
	b.until("it waits", func() bool { return b.status(id) == container.Restarting })
	wantError(t, b.Remove(t.Context(), id, RemoveOptions{}), errdefs.IsConflict, "You cannot remove a restarting container")
	if err := b.Stop(t.Context(), id, "", nil); err != nil {
		t.Fatal(err)
	}
	if a := b.await(id, ""); a.StatusCode != 4 || b.status(id) != container.Exited {
		t.Fatal(a)
	}
	if err := b.Remove(t.Context(), id, RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	b.nothing()
}

func TestStoppedIsNotRestarted(t *testing.T) {
	b := newBench(t)
	id := b.run(policy("always"))
	if err := b.Stop(t.Context(), id, "", nil); err != nil {
		t.Fatal(err)
	}
	if b.status(id) != container.Exited || b.verbs.lives.Get(id).CancelRetry() {
		t.Fatal(b.status(id))
	}
}

// What a restart of the engine makes of a container, by what was recorded and
// what happened meanwhile.
func TestReadopt(t *testing.T) {
	exit := func(code int) func(*world, string) { return func(w *world, id string) { w.exit(id, code) } }
	lose := func(w *world, id string) { delete(w.processes, id); delete(w.ignoring, id) }
	for _, tc := range []struct {
		name      string
		mods      []mod
		stopped   bool
		meanwhile func(*world, string)
		status    container.Status
		code      int
		world     string
	}{
		{name: "runs on", status: container.Running, world: "endpoint\nprocess\nrootfs"},
		{name: "exited meanwhile", meanwhile: exit(7), status: container.Exited, code: 7, world: "rootfs"},
		{name: "lost with the host", meanwhile: lose, status: container.Exited, code: -1, world: "rootfs"},
		{name: "lost, always", mods: []mod{policy("always")}, meanwhile: lose, status: container.Running, world: "endpoint\nprocess\nrootfs"},
		{name: "lost, on-failure", mods: []mod{policy("on-failure")}, meanwhile: lose, status: container.Running, world: "endpoint\nprocess\nrootfs"},
		{name: "exited meanwhile, on-failure", mods: []mod{policy("on-failure")}, meanwhile: exit(0), status: container.Exited, world: "rootfs"},
		{name: "exited meanwhile, unless-stopped", mods: []mod{policy("unless-stopped")}, meanwhile: exit(0), status: container.Running, world: "endpoint\nprocess\nrootfs"},
		{name: "stopped, always", mods: []mod{policy("always")}, stopped: true, status: container.Running, world: "endpoint\nprocess\nrootfs"},
		{name: "stopped, unless-stopped", mods: []mod{policy("unless-stopped")}, stopped: true, status: container.Exited, code: 143, world: "rootfs"},
		{name: "exited meanwhile, --rm", mods: []mod{autoRemove}, meanwhile: exit(7)},
		{name: "paused meanwhile", meanwhile: func(w *world, id string) { w.processes[id].Paused = true }, status: container.Paused,
			world: "endpoint\nprocess paused\nrootfs"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			id := b.run(tc.mods...)
			if tc.stopped {
				if err := b.Stop(t.Context(), id, "", nil); err != nil {
					t.Fatal(err)
				}
			}
			b.reopen(func() {
				if tc.meanwhile != nil {
					tc.meanwhile(b.w, id)
				}
			})
			b.want(tc.world)
			if tc.status == "" {
				b.until("it is removed", func() bool { return b.verbs.records.Get(id) == nil })
				b.nothing()
				return
			}
			b.until(fmt.Sprint("it is ", tc.status), func() bool { return b.status(id) == tc.status })
			if s := b.record(id).State; s.ExitCode != tc.code || (s.ExitCode == -1) != (s.Error != "") {
				t.Fatalf("%+v", s)
			}
			// The new engine is as able as the old one.
			if tc.status == container.Running {
				if err := b.Stop(t.Context(), id, "", nil); err != nil || b.record(id).State.ExitCode != 143 {
					t.Fatal(err, b.record(id).State)
				}
			}
			b.reopen(nil) // and what it made of it is on disk
			if s := b.record(id).State; s.Status.Alive() != (tc.status == container.Paused) && tc.mods == nil {
				t.Fatalf("%+v", s)
			}
		})
	}
}

// The engine died between the shim's Start and the record: nobody was told
// that the container runs, so it does not.
func TestUnrecordedStart(t *testing.T) {
	b := newBench(t)
	id := b.create()
	b.reopen(func() {
		if _, err := b.w.Start(t.Context(), shim.StartRequest{ID: id}); err != nil {
			t.Fatal(err)
		}
	})
	b.want("rootfs")
	if b.status(id) != container.Created {
		t.Fatal(b.status(id))
	}
	if err := b.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

func TestShimDeath(t *testing.T) {
	b := newBench(t)
	kept, lost := b.run(named("kept")), b.run(named("lost"))
	waitKept, err := b.Wait(t.Context(), kept, "")
	if err != nil {
		t.Fatal(err)
	}
	waitLost, err := b.Wait(t.Context(), lost, "")
	if err != nil {
		t.Fatal(err)
	}
	b.w.killShim(lost)
	if a := b.answer(waitLost); a.StatusCode != -1 || a.Error == nil {
		t.Fatalf("%+v: no invented code", a)
	}
	b.w.exit(kept, 6)
	if a := b.answer(waitKept); a.StatusCode != 6 {
		t.Fatal(a)
	}
	b.want("rootfs\nrootfs")
}

func TestSweep(t *testing.T) {
	b := newBench(t)
	id := b.create()
	orphan := filepath.Join(b.root, "containers", "orphan", "logs")
	b.reopen(func() {
		b.w.rootfs["orphan"] = true
		if err := os.MkdirAll(orphan, 0o700); err != nil {
			t.Fatal(err)
		}
	})
	b.want("rootfs")
	if _, err := os.Stat(filepath.Dir(orphan)); !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.verbs.dir(id)); err != nil {
		t.Fatal(err)
	}
}

func TestRemovalIsFinished(t *testing.T) {
	b := newBench(t)
	id := b.create()
	b.verbs.records.Update(id, func(r *container.Record) { r.State.Status = container.Removing })
	if err := b.verbs.records.Save(id); err != nil {
		t.Fatal(err)
	}
	b.reopen(nil)
	b.nothing()
}

func TestSecondEngine(t *testing.T) {
	b := newBench(t)
	_, err := New(t.Context(), Config{DataRoot: b.root, ExecRoot: b.exec}, Deps{}, slog.New(slog.DiscardHandler))
	wantError(t, err, errdefs.IsConflict, fmt.Sprintf("another engine (pid %d) uses the data root %s", os.Getpid(), b.root))
}

func TestShutdownLeavesContainers(t *testing.T) {
	b := newBench(t)
	b.run()
	waiting := make(chan error, 1)
	go func() {
		waiting <- b.Events(t.Context(), EventsOptions{}, func(events.Message) error { return nil })
	}()
	b.until("somebody listens", func() bool { return b.verbs.events.Listeners() == 1 })
	b.shut()
	select {
	case <-waiting:
	case <-time.After(20 * time.Second):
		t.Fatal("a listener keeps the engine from ending")
	}
	b.want("endpoint\nprocess\nrootfs")
	b.open()
}

// The host stops: what has a policy runs again on the next one, what the user
// had stopped does not.
func TestHalt(t *testing.T) {
	b := newBench(t)
	always, unless, once := b.run(policy("always")), b.run(policy("unless-stopped")), b.run()
	stopped, paused := b.run(policy("unless-stopped")), b.run(policy("always"))
	if err := errors.Join(b.Stop(t.Context(), stopped, "", nil), b.Pause(t.Context(), paused)); err != nil {
		t.Fatal(err)
	}
	if err := b.Halt(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{always, unless, once, stopped, paused} {
		if b.status(id).Alive() {
			t.Errorf("%s after the halt", b.status(id))
		}
	}
	b.reopen(nil)
	for _, id := range []string{always, unless, paused} {
		b.until("what has a policy to run again", func() bool { return b.status(id) == container.Running })
	}
	if b.status(once) != container.Exited || b.status(stopped) != container.Exited || b.record(once).StoppedByUser {
		t.Errorf("%s, %s", b.status(once), b.status(stopped))
	}
}

// An exit that cannot be stored stays with the shim: the next engine is told again.
func TestExitThatCannotBeStored(t *testing.T) {
	b := newBench(t)
	id := b.run()
	if err := b.verbs.records.Close(); err != nil {
		t.Fatal(err)
	}
	l := b.verbs.lives.Get(id)
	b.w.exit(id, 3)
	<-l.Current().Settled
	if s := b.record(id).State; s.Status != container.Exited || s.ExitCode != 3 {
		t.Errorf("%+v", s)
	}
	if got := b.w.String(); got != "process exited 3\nrootfs" {
		t.Errorf("the shim was told to forget it: %s", got)
	}
}

// A container with --rm that was not started yet has nobody who would start it.
func TestReadoptCreatedAutoRemove(t *testing.T) {
	b := newBench(t)
	b.create(autoRemove, named("goes"))
	kept := b.create(named("stays"))
	b.reopen(nil)
	if all := b.verbs.records.All(); len(all) != 1 || all[0].ID != kept {
		t.Fatal(all)
	}
	b.create(autoRemove, named("goes"))
}
