package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/container"
)

func TestLifecycle(t *testing.T) {
	b := newBench(t)
	id := b.create(named("web"))
	b.want("rootfs")
	if err := b.Start(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context(), "/web"); !errors.Is(err, ErrNotModified) {
		t.Fatal(err)
	}
	b.want("endpoint\nprocess\nrootfs")
	for file, want := range map[string]string{"hostname": id[:12] + "\n", "hosts": "172.30.0.5\t" + id[:12] + "\n"} {
		got, err := os.ReadFile(filepath.Join(b.root, "containers", id, file))
		if err != nil || !strings.Contains(string(got), want) {
			t.Fatalf("%s: %q, %v", file, got, err)
		}
	}
	wantError(t, b.Remove(t.Context(), "web", RemoveOptions{}), errdefs.IsConflict, "You cannot remove a running container "+id)
	b.w.exit(id, 3)
	if a := b.await(id, api.WaitConditionNotRunning); a.StatusCode != 3 || a.Error != nil {
		t.Fatalf("%+v", a)
	}
	if s := b.record(id).State; s.Status != container.Exited || s.ExitCode != 3 || s.Pid != 0 {
		t.Fatalf("%+v: a waiter must see the exit in the record", s)
	}
	if err := b.Remove(t.Context(), id[:12], RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	b.nothing()
	_, err := b.Inspect(t.Context(), "web", false)
	wantError(t, err, errdefs.IsNotFound, "No such container: web")
}

func TestStopAndKill(t *testing.T) {
	b := newBench(t)
	id := b.run()
	if err := b.Stop(t.Context(), id, "", nil); err != nil || b.record(id).State.ExitCode != 143 {
		t.Fatal(err, b.record(id).State)
	}
	if err := b.Stop(t.Context(), id, "", nil); !errors.Is(err, ErrNotModified) {
		t.Fatal(err)
	}
	wantError(t, b.Kill(t.Context(), id, ""), errdefs.IsConflict, "is not running")
	if err := b.Restart(t.Context(), id, "", nil); err != nil || b.status(id) != container.Running {
		t.Fatal(err)
	}
	b.w.ignoring[id] = true
	zero := 0
	if err := b.Stop(t.Context(), id, "", &zero); err != nil || b.record(id).State.ExitCode != 137 {
		t.Fatal(err, b.record(id).State)
	}
	if err := b.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	wantError(t, b.Kill(t.Context(), id, "NOPE"), errdefs.IsInvalidArgument, "invalid signal: NOPE")
	if err := b.Kill(t.Context(), id, "HUP"); err != nil || b.status(id) != container.Running {
		t.Fatal(err)
	}
	if err := b.Kill(t.Context(), id, ""); err != nil || b.status(id) != container.Exited {
		t.Fatal(err)
	}
}

func TestPause(t *testing.T) {
	b := newBench(t)
	id := b.run()
	wantError(t, b.Unpause(t.Context(), id), errdefs.IsConflict, "is not paused")
	if err := b.Pause(t.Context(), id); err != nil || b.status(id) != container.Paused {
		t.Fatal(err)
	}
	b.want("endpoint\nprocess paused\nrootfs")
	wantError(t, b.Pause(t.Context(), id), errdefs.IsConflict, "is already paused")
	wantError(t, b.Start(t.Context(), id), errdefs.IsConflict, "cannot start a paused container")
	if err := b.Unpause(t.Context(), id); err != nil || b.status(id) != container.Running {
		t.Fatal(err)
	}
	if err := b.Pause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(t.Context(), id, RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	b.nothing()
}

// The three conditions, each seen from before and after the exit.
func TestWait(t *testing.T) {
	b := newBench(t)
	id := b.create(autoRemove)
	var answers []<-chan api.WaitResponse
	for _, c := range []api.WaitCondition{api.WaitConditionNextExit, api.WaitConditionRemoved} {
		a, err := b.Wait(t.Context(), id, c)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	if a := b.await(id, ""); a.StatusCode != 0 {
		t.Fatal(a) // created: not running
	}
	if err := b.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	b.w.exit(id, 42)
	for i, a := range answers {
		if got := b.answer(a); got.StatusCode != 42 {
			t.Fatal(i, got)
		}
	}
	b.nothing()
	_, err := b.Wait(t.Context(), id, "never")
	wantError(t, err, errdefs.IsNotFound, "No such container")
}

// A program that ends before Start has returned is no special case.
func TestExitDuringStart(t *testing.T) {
	b := newBench(t)
	b.w.onStart = func(id string) { b.w.exit(id, 5) }
	id := b.run()
	if a := b.await(id, api.WaitConditionNotRunning); a.StatusCode != 5 {
		t.Fatal(a)
	}
	if err := b.Remove(t.Context(), id, RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	b.nothing()
}

func TestCreateUndo(t *testing.T) {
	withVolume := func(o *CreateOptions) { o.HostConfig.Binds = []string{"data:/data", "/anon"} }
	for _, step := range []string{"spec.Build", "rootfs.Prepare"} {
		t.Run(step, func(t *testing.T) {
			b := newBench(t)
			b.w.setFail(step, errBroken)
			_, err := b.tryCreate(named("web"), withVolume)
			wantError(t, err, func(err error) bool { return errors.Is(err, errBroken) }, "")
			b.nothing()
			b.w.setFail(step, nil)
			b.create(named("web"), withVolume) // the name is free
		})
	}
}

func TestStartUndo(t *testing.T) {
	for _, tc := range []struct {
		step string
		err  error
		code int
	}{
		{"rootfs.Rootfs", errBroken, 128},
		{"network.Take", errdefs.ErrAlreadyExists.WithMessage("Bind for 0.0.0.0:80 failed: port is already allocated"), 128},
		{"spec.Build", errBroken, 128},
		{"shim.Start", errdefs.ErrNotFound.WithMessage(`exec: "x": executable file not found in $PATH`), 127},
		{"shim.Start", errdefs.ErrPermissionDenied.WithMessage(`exec: "x": permission denied`), 126},
	} {
		t.Run(fmt.Sprint(tc.step, tc.code), func(t *testing.T) {
			b := newBench(t)
			id := b.create()
			b.w.setFail(tc.step, tc.err)
			next, err := b.Wait(t.Context(), id, api.WaitConditionNextExit)
			if err != nil {
				t.Fatal(err)
			}
			err = b.Start(t.Context(), id)
			wantError(t, err, func(err error) bool { return !errdefs.IsNotFound(err) }, tc.err.Error())
			b.want("rootfs")
			if s := b.record(id).State; s.Status != container.Created || s.ExitCode != tc.code || !strings.Contains(s.Error, tc.err.Error()) {
				t.Fatalf("%+v", s)
			}
			b.w.setFail(tc.step, nil)
			if err := b.Start(t.Context(), id); err != nil || b.record(id).State.Error != "" {
				t.Fatal(err)
			}
			b.w.exit(id, 3)
			if a := b.answer(next); a.StatusCode != 3 || a.Error != nil {
				t.Fatalf("next exit: %+v", a)
			}
		})
	}
	t.Run("after an exit", func(t *testing.T) {
		b := newBench(t)
		id := b.run(func(o *CreateOptions) { o.HostConfig.RestartPolicy.Name = api.RestartPolicyAlways })
		stopped, err := b.Wait(t.Context(), id, api.WaitConditionNotRunning)
		if err != nil {
			t.Fatal(err)
		}
		b.w.setFail("shim.Start", errBroken)
		b.w.exit(id, 3)
		if a := b.answer(stopped); a.StatusCode != 128 || a.Error != nil {
			t.Fatalf("not running: %+v", a)
		}
	})
	t.Run("with --rm", func(t *testing.T) {
		b := newBench(t)
		id := b.create(autoRemove)
		removed, err := b.Wait(t.Context(), id, api.WaitConditionRemoved)
		if err != nil {
			t.Fatal(err)
		}
		b.w.setFail("shim.Start", errBroken)
		if err := b.Start(t.Context(), id); !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		if a := b.answer(removed); a.StatusCode != 128 || a.Error != nil {
			t.Fatalf("removed: %+v", a)
		}
		b.nothing()
	})
}

func TestCreateRefusals(t *testing.T) {
	b := newBench(t)
	id := b.create(named("web"))
	for _, tc := range []struct {
		mod  mod
		is   func(error) bool
		text string
	}{
		{named("web"), errdefs.IsConflict, fmt.Sprintf(`Conflict. The container name "/web" is already in use by container "%s". You have to remove (or rename) that container to be able to reuse that name.`, id)},
		{named("-x"), errdefs.IsInvalidArgument, "Invalid container name (-x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{func(o *CreateOptions) { o.Config.Image = "nope" }, errdefs.IsNotFound, "No such image: nope"},
		{func(o *CreateOptions) { o.HostConfig.PidMode = "container:nobody" }, errdefs.IsInvalidArgument, "No such container: nobody"},
		{func(o *CreateOptions) {
			o.HostConfig.Mounts = []mount.Mount{{Type: "bind", Source: "/no/such/path", Target: "/x"}}
		}, errdefs.IsInvalidArgument, `invalid mount config for type "bind": bind source path does not exist: /no/such/path`},
		{func(o *CreateOptions) {
			o.HostConfig.PortBindings = network.PortMap{network.MustParsePort("80/tcp"): {{HostPort: "many"}}}
		}, errdefs.IsInvalidArgument, `invalid port specification: "many"`},
	} {
		_, err := b.tryCreate(tc.mod)
		wantError(t, err, tc.is, tc.text)
	}
	b.want("rootfs")
}

func TestNameConflictUnderConcurrency(t *testing.T) {
	b := newBench(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won int
	for range 20 {
		wg.Go(func() {
			_, err := b.tryCreate(named("one"))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errdefs.IsConflict(err) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Fatal(won, "creations won")
	}
	b.want("rootfs")
}

func TestManyAtOnce(t *testing.T) {
	b := newBench(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			id, err := b.tryCreate()
			if err != nil {
				t.Error(err)
				return
			}
			if err := b.Start(t.Context(), id); err != nil {
				t.Error(err)
			}
			if err := b.Remove(t.Context(), id, RemoveOptions{Force: true}); err != nil {
				t.Error(err)
			}
			if _, err := b.List(t.Context(), ListOptions{All: true}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b.nothing()
}

func TestVolumes(t *testing.T) {
	b := newBench(t)
	src := filepath.Join(t.TempDir(), "made")
	id := b.create(func(o *CreateOptions) {
		o.Config.Volumes = map[string]struct{}{"/anon": {}}
		o.HostConfig.Binds = []string{src + ":/src", "named:/named"}
	})
	if info, err := os.Stat(src); err != nil || !info.IsDir() {
		t.Fatal("-v makes a missing source", err)
	}
	wantError(t, b.VolumeRemove(t.Context(), "named", false), errdefs.IsConflict, "volume is in use - ["+id+"]")
	other := b.create(func(o *CreateOptions) { o.HostConfig.VolumesFrom = []string{id} })
	if n := len(b.record(other).Mounts); n != 3 {
		t.Fatal(n, "mounts inherited")
	}
	b.reopen(nil)
	wantError(t, b.VolumeRemove(t.Context(), "named", false), errdefs.IsConflict, "volume is in use")
	for _, c := range []string{other, id} {
		if err := b.Remove(t.Context(), c, RemoveOptions{Volumes: true}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := b.VolumeList(t.Context(), nil)
	if err != nil || len(list.Volumes) != 1 || list.Volumes[0].Name != "named" {
		t.Fatal(list, err)
	}
	if err := b.VolumeRemove(t.Context(), "named", false); err != nil {
		t.Fatal(err)
	}
	b.nothing()
}

func TestRename(t *testing.T) {
	b := newBench(t)
	id, other := b.create(named("old")), b.create(named("other"))
	wantError(t, b.Rename(t.Context(), "old", "other"), errdefs.IsConflict, `already in use by container "`+other)
	if err := b.Rename(t.Context(), "old", "new"); err != nil {
		t.Fatal(err)
	}
	b.create(named("old"))
	b.reopen(nil)
	if b.record("new").ID != id {
		t.Fatal("the name is not kept")
	}
}

func TestExec(t *testing.T) {
	b := newBench(t)
	id := b.create()
	_, err := b.ExecCreate(t.Context(), id, api.ExecCreateRequest{Cmd: []string{"ls"}})
	wantError(t, err, errdefs.IsConflict, "is not running")
	if err := b.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	x, err := b.ExecCreate(t.Context(), id, api.ExecCreateRequest{Cmd: []string{"ls", "-l"}, User: "1", WorkingDir: "/w", AttachStdout: true})
	if err != nil {
		t.Fatal(err)
	}
	a, err := b.ExecStart(t.Context(), x, ExecStartOptions{})
	if err != nil || b.w.execs[x] != "ls -l as 1 in /w" {
		t.Fatal(err, b.w.execs)
	}
	if _, err := b.ExecStart(t.Context(), x, ExecStartOptions{}); !errdefs.IsConflict(err) {
		t.Fatal(err)
	}
	if i, err := b.Inspect(t.Context(), id, false); err != nil || len(i.ExecIDs) != 1 {
		t.Fatal(i.ExecIDs, err)
	}
	b.w.execExit(id, x, 9)
	if out, err := io.ReadAll(a.Stream); err != nil || string(out) != "output" {
		t.Fatal(string(out), err)
	}
	if i, err := b.ExecInspect(t.Context(), x); err != nil || i.Running || *i.ExitCode != 9 || i.Pid != 7 {
		t.Fatalf("%+v %v: when the stream has ended, the code is known", i, err)
	}
	b.w.setFail("shim.Exec", errdefs.ErrNotFound.WithMessage(`exec: "no": executable file not found in $PATH`))
	x, err = b.ExecCreate(t.Context(), id, api.ExecCreateRequest{Cmd: []string{"no"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.ExecStart(t.Context(), x, ExecStartOptions{})
	wantError(t, err, errdefs.IsInvalidArgument, "executable file not found")
	if i, err := b.ExecInspect(t.Context(), x); err != nil || *i.ExitCode != 127 {
		t.Fatal(i, err)
	}
}

func TestEvents(t *testing.T) {
	b := newBench(t)
	began := time.Now()
	id := b.run(named("web"), func(o *CreateOptions) { o.Config.Labels = map[string]string{"tier": "front"} })
	if err := b.Stop(t.Context(), id, "", nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(t.Context(), id, RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := b.Events(t.Context(), EventsOptions{Since: began, Until: time.Now(), Filters: Filters{"container": {"web": true}}}, func(m events.Message) error {
		word := string(m.Action)
		if m.Actor.Attributes["tier"] != "front" || m.Actor.Attributes["image"] != "busybox" {
			t.Errorf("%+v", m)
		}
		if code, ok := m.Actor.Attributes["exitCode"]; ok {
			word += "=" + code
		}
		got = append(got, word)
		return nil
	})
	want := "create start kill die=143 stop destroy"
	if err != nil || strings.Join(got, " ") != want {
		t.Fatalf("%v, %v; want %s", got, err, want)
	}
}

func TestListAndInspect(t *testing.T) {
	b := newBench(t)
	id := b.run(named("web"), func(o *CreateOptions) {
		o.Config.ExposedPorts = network.PortSet{network.MustParsePort("80/tcp"): {}, network.MustParsePort("53/udp"): {}}
		o.HostConfig.PortBindings = network.PortMap{network.MustParsePort("80/tcp"): {{HostPort: "8080"}}}
	})
	b.create(named("idle"))
	names := func(o ListOptions) string {
		list, err := b.List(t.Context(), o)
		if err != nil {
			return err.Error()
		}
		var s []string
		for _, c := range list {
			s = append(s, c.Names[0])
		}
		return strings.Join(s, " ")
	}
	for _, tc := range []struct {
		o    ListOptions
		want string
	}{
		{ListOptions{}, "/web"},
		{ListOptions{All: true}, "/idle /web"},
		{ListOptions{Limit: 1}, "/idle"},
		{ListOptions{Filters: Filters{"status": {"created": true}}}, "/idle"},
		{ListOptions{All: true, Filters: Filters{"name": {"^web$": true}}}, "/web"},
		{ListOptions{All: true, Filters: Filters{"before": {"idle": true}}}, "/web"},
		{ListOptions{All: true, Filters: Filters{"since": {"web": true}}}, "/idle"},
		{ListOptions{All: true, Filters: Filters{"ancestor": {"busybox": true}}}, "/idle /web"},
		{ListOptions{All: true, Filters: Filters{"publish": {"8000-9000/tcp": true}}}, "/web"},
		{ListOptions{All: true, Filters: Filters{"expose": {"53/udp": true}}}, "/web"},
		{ListOptions{All: true, Filters: Filters{"network": {"bridge": true}}}, "/idle /web"},
		{ListOptions{Filters: Filters{"colour": {"red": true}}}, "invalid filter 'colour'"},
		{ListOptions{Filters: Filters{"status": {"fine": true}}}, "invalid filter 'status=fine'"},
	} {
		if got := names(tc.o); got != tc.want {
			t.Errorf("%+v: %s; want %s", tc.o, got, tc.want)
		}
	}
	i, err := b.Inspect(t.Context(), id, false)
	if err != nil {
		t.Fatal(err)
	}
	ports := i.NetworkSettings.Ports
	if p := ports[network.MustParsePort("80/tcp")]; len(p) != 1 || p[0].HostPort != "8080" || p[0].HostIP.String() != "0.0.0.0" {
		t.Errorf("%+v", ports)
	}
	e := i.NetworkSettings.Networks["bridge"]
	if e == nil || e.IPAddress.String() != "172.30.0.5" || e.IPPrefixLen != 16 || e.MacAddress.String() != "02:42:ac:1e:00:05" || e.NetworkID == "" {
		t.Errorf("%+v", e)
	}
	if i.Name != "/web" || i.Path != "sh" || !i.State.Running || i.Config.Labels == nil || i.Mounts == nil || i.GraphDriver.Data["UpperDir"] != "/upper" {
		t.Errorf("%+v", i)
	}
	n, err := b.NetworkInspect(t.Context(), "bridge")
	if err != nil || n.Containers[id].Name != "web" {
		t.Errorf("%+v %v", n, err)
	}
	info, err := b.Info(t.Context())
	if err != nil || info.Containers != 2 || info.ContainersRunning != 1 || info.ContainersStopped != 1 || info.Images != 1 {
		t.Errorf("%+v %v", info, err)
	}
	if r := info.RegistryConfig; fmt.Sprint(r.InsecureRegistryCIDRs) != "[::1/128 127.0.0.0/8]" || len(r.IndexConfigs) != 2 || r.IndexConfigs["r:5000"].Secure {
		t.Errorf("%+v", r)
	}
	_, err = b.RemoveImage(t.Context(), "busybox", false)
	wantError(t, err, errdefs.IsConflict, "in use by")
}
