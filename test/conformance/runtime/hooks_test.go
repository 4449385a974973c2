package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/test/harness"
)

// lists are the six kinds of hooks in the order in which a life calls them.
func lists(h *specs.Hooks) map[string]*[]specs.Hook {
	return map[string]*[]specs.Hook{
		//lint:ignore SA1019 it is deprecated, and required
		"prestart":      &h.Prestart,
		"createRuntime": &h.CreateRuntime, "createContainer": &h.CreateContainer,
		"startContainer": &h.StartContainer, "poststart": &h.Poststart, "poststop": &h.Poststop,
	}
}

var hookOrder = []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}

// hook writes the state that it gets, its namespaces and its environment into a
// file. The first three kinds run the host's shell, startContainer the container's.
func (b *bundle) hook(kind, name string) specs.Hook {
	out := filepath.Join(b.temp("hooks"), kind+name)
	shell := "/bin/busybox"
	if kind == "startContainer" {
		out = "/hooks/" + kind + name
	}
	script := fmt.Sprintf(`exec > %s; cat; echo; busybox readlink /proc/self/ns/mnt; busybox readlink /proc/self/ns/net; echo "$A" "$1" $(busybox pwd); echo %s >> %s`,
		out, kind+name, filepath.Join(filepath.Dir(out), "order"))
	return specs.Hook{Path: shell, Args: []string{"sh", "-c", script, "x", "arg"}, Env: []string{"A=of the hook", "PATH=/bin"}, Timeout: ptr(30)}
}

func (b *bundle) hooked() {
	dir := b.temp("hooks")
	must(b.t, os.Chmod(dir, 0o777))
	b.mount(specs.Mount{Destination: "/hooks", Source: dir, Options: []string{"bind"}})
	b.spec.Hooks = &specs.Hooks{}
	for kind, list := range lists(b.spec.Hooks) {
		*list = []specs.Hook{b.hook(kind, "1"), b.hook(kind, "2")}
	}
}

func TestHooks(t *testing.T) {
	b := newBundle(t, "/probe", "hold")
	b.hooked()
	b.spec.Annotations = map[string]string{"com.example.key": "value"}
	dir := b.temp("hooks")
	order := func() []string { return strings.Fields(read(filepath.Join(dir, "order"))) }
	r := b.create()
	if got := strings.Join(order(), " "); got != "prestart1 prestart2 createRuntime1 createRuntime2 createContainer1 createContainer2" {
		t.Errorf("hooks of create: %s", got)
	}
	pid := b.stateOf().Pid
	mnt, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	net, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	b.ok("start", b.id)
	b.line(r)
	b.stopped("TERM")
	b.ok("delete", b.id)
	if got := len(order()); got != 12 {
		t.Errorf("hooks: %q", order())
	}
	for i, kind := range hookOrder {
		lines := strings.Split(read(filepath.Join(dir, kind+"1")), "\n")
		var s specs.State
		if err := json.Unmarshal([]byte(lines[0]), &s); err != nil || len(lines) < 4 {
			t.Errorf("%s gets %q: %v", kind, lines, err)
			continue
		}
		status := map[string]specs.ContainerState{"poststart": specs.StateRunning, "poststop": specs.StateStopped, "startContainer": specs.StateCreated}[kind]
		if s.ID != b.id || s.Bundle != b.dir || s.Annotations["com.example.key"] != "value" || status != "" && s.Status != status {
			t.Errorf("%s gets the state %+v", kind, s)
		}
		inside := i == 2 || i == 3
		if want := map[bool]int{true: 1, false: pid}[inside]; kind != "poststop" && s.Pid != want {
			t.Errorf("%s gets pid %d, want %d", kind, s.Pid, want)
		}
		if (lines[1] == mnt) != inside || inside && lines[2] != net {
			t.Errorf("%s runs in %q; the container in %s %s", kind, lines[1:3], mnt, net)
		}
		if !strings.HasPrefix(lines[3], "of the hook arg ") {
			t.Errorf("%s: environment and arguments are %q", kind, lines[3])
		}
	}
}

// A hook that fails ends the life; but one of poststop is a warning.
func TestFailingHooks(t *testing.T) {
	for _, kind := range hookOrder {
		t.Run(kind, func(t *testing.T) {
			b := newBundle(t, "/bin/sleep", "600")
			b.spec.Hooks = &specs.Hooks{}
			*lists(b.spec.Hooks)[kind] = []specs.Hook{{Path: "/bin/busybox", Args: []string{"sh", "-c", "echo of the hook >&2; exit 7"}}}
			b.save()
			b.ids = append(b.ids, b.id)
			switch kind {
			case "prestart", "createRuntime", "createContainer":
				b.fails("of the hook|7")
			case "startContainer", "poststart":
				b.ok("create", b.id)
				b.refused("of the hook|7", "start", b.id)
				if r := b.cmd("state", b.id); r.code == 0 {
					harness.Eventually(t, "the container to be stopped", func() bool { return strings.Contains(b.cmd("state", b.id).out, "stopped") })
				}
			case "poststop":
				b.ok("create", b.id)
				b.ok("start", b.id)
				b.stopped("KILL")
				if r := b.ok("delete", b.id); !strings.Contains(r.err, "hook") && !foreign() {
					t.Errorf("no warning: %q", r.err)
				}
			}
		})
	}
}

func TestHookTimeout(t *testing.T) {
	b := newBundle(t)
	file := filepath.Join(b.temp("hooks"), "pid")
	b.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/busybox", Args: []string{"sh", "-c", "echo $$ > " + file + "; exec busybox sleep 100"}, Timeout: ptr(1)}}}
	b.fails("time")
	pid, _ := strconv.Atoi(strings.TrimSpace(read(file)))
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid)); pid != 0 && err == nil {
		t.Errorf("the hook's process %d lives on", pid)
	}
	b = newBundle(t)
	b.spec.Hooks = &specs.Hooks{Poststart: []specs.Hook{{Path: "/no/such/hook"}}}
	b.save()
	b.ids = append(b.ids, b.id)
	if r := b.cmd("run", b.id); r.code == 0 {
		t.Error("a hook that does not exist is not missed")
	}
}
