package faults

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The engine is killed in the middle of each verb; the next one is whole.
func TestKillEngineInVerb(t *testing.T) {
	verbs := []func(name string) []string{
		func(name string) []string {
			return []string{"create", "--name", "new" + name, "-v", "/data", "busybox"}
		},
		func(name string) []string { return []string{"start", "idle" + name} },
		func(name string) []string { return []string{"stop", "-t", "0", "busy" + name} },
		func(name string) []string { return []string{"rm", "-f", "-v", "busy" + name} },
		func(name string) []string { return []string{"exec", "busy" + name, "echo", "hi"} },
		func(name string) []string { return []string{"pause", "busy" + name} },
		func(name string) []string { return []string{"rename", "idle" + name, "renamed" + name} },
	}
	e := harness.New(t)
	e.Busybox()
	for _, args := range verbs {
		for round := range 5 {
			killInVerb(t, e, round, args)
			if t.Failed() {
				t.Fatalf("%v, killed in round %d", args(""), round)
			}
		}
	}
}

func killInVerb(t *testing.T, e *harness.Engine, round int, args func(string) []string) {
	t.Helper()
	done := make(chan struct{})
	for i := range 3 {
		name := strconv.Itoa(i)
		e.OK("create", "--name", "idle"+name, "-v", "/data", "busybox", "sleep", "1000")
		e.OK("run", "-d", "--name", "busy"+name, "busybox", "sleep", "1000")
	}
	for i := range 3 {
		cmd := e.Command("berth", args(strconv.Itoa(i))...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { _ = cmd.Wait(); done <- struct{}{} }()
	}
	pause(round * 6)
	e.Kill()
	for range 3 {
		<-done
	}
	e.Start()
	checkWhole(t, e, round)
}

// checkWhole looks whether each container is as it is shown, and removes it.
func checkWhole(t *testing.T, e *harness.Engine, round int) {
	t.Helper()
	for _, line := range strings.Fields(e.OK("ps", "-a", "--format", "{{.Names}}={{.State}}")) {
		name, status, _ := strings.Cut(line, "=")
		switch status {
		case "running": // or its end, by the verb, is just coming to be known
			harness.Eventually(t, name+" to run or to have ended", func() bool {
				return e.Berth("exec", name, "true").Code == 0 || strings.HasPrefix(state(e, name), "exited")
			})
		case "paused":
			if r := e.Berth("exec", name, "true"); r.Code == 0 || !strings.Contains(r.Err, "is paused, unpause the container before exec") {
				t.Errorf("round %d: exec in a paused container: %d %s", round, r.Code, r.Err)
			}
			e.OK("unpause", name)
			e.OK("exec", name, "true")
		default:
			e.OK("start", name)
		}
		e.OK("rm", "-f", "-v", name)
	}
	if left := e.OK("volume", "ls", "-q"); left != "" {
		// A volume of the very moment may stay; it is listed as dangling.
		e.OK(append([]string{"volume", "rm"}, strings.Fields(left)...)...)
	}
}

// An exec's process runs on when the engine is killed, and ends with its container.
func TestExecOutlivesEngine(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	e.OK("run", "-d", "--name", "box", "-v", e.Dir+":/gate", "busybox", "sleep", "1000")
	e.OK("exec", "-d", "box", "sh", "-c", "touch /gate/begun; while [ ! -e /gate/go ]; do usleep 20000; done; touch /gate/done; sleep 1001")
	harness.Eventually(t, "the exec", func() bool { return exists(e.Dir + "/begun") })
	e.Kill()
	e.Start()
	if err := touch(e.Dir + "/go"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the exec to go on", func() bool { return exists(e.Dir + "/done") })
	if got := e.OK("exec", "box", "echo", "another"); got != "another" {
		t.Errorf("exec: %q", got)
	}
	e.OK("rm", "-f", "box")
	harness.Eventually(t, "the exec's end", func() bool { return !anyCommand("sleep\x001001") })
}

// Paused stays paused, also for the next engine and the next shim.
func TestPauseOutlivesProcesses(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	e.OK("run", "-d", "--name", "box", "busybox", "sh", "-c", counter)
	harness.Eventually(t, "output", func() bool { return checkCounter(t, e, "box") > 2 })
	e.OK("pause", "box")
	e.Kill()
	e.Start()
	awaitState(t, e, "box", "paused 0")
	killShim(t, e)
	awaitState(t, e, "box", "paused 0")
	before := checkCounter(t, e, "box")
	e.OK("unpause", "box")
	awaitState(t, e, "box", "running 0")
	harness.Eventually(t, "it to go on", func() bool { return checkCounter(t, e, "box") > before })
	e.OK("pause", "box")
	e.Kill()
	e.Start()
	e.OK("stop", "-t", "0", "box")
	awaitState(t, e, "box", "exited 137")
}

// A container in the host's pid namespace leaves no process behind.
func TestHostPidLeftovers(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	e.OK("run", "-d", "--name", "box", "--pid", "host", "-v", e.Dir+":/gate", "busybox", "sh", "-c",
		"sleep 1002 & sleep 1003 & while [ ! -e /gate/go ]; do usleep 20000; done; exit 4")
	harness.Eventually(t, "its children", func() bool { return anyCommand("sleep\x001002") && anyCommand("sleep\x001003") })
	e.Kill()
	e.Start()
	killShim(t, e)
	if err := touch(e.Dir + "/go"); err != nil {
		t.Fatal(err)
	}
	awaitState(t, e, "box", "exited 4")
	harness.Eventually(t, "the children's end", func() bool { return !anyCommand("sleep\x001002") && !anyCommand("sleep\x001003") })
}

// A container that memory ran out for says so, also if nobody watched.
func TestOutOfMemory(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	eat := "while [ ! -e /gate/go ]; do usleep 20000; done; tail /dev/zero"
	for _, name := range []string{"seen", "unseen"} {
		e.OK("run", "-d", "--name", name, "--memory", "16m", "--memory-swap", "16m", "-v", e.Dir+"/"+name+":/gate", "busybox", "sh", "-c", "exec sh -c '"+eat+"'")
	}
	oom := func(name string) {
		t.Helper()
		awaitState(t, e, name, "exited 137")
		if got := e.OK("inspect", "-f", "{{.State.OOMKilled}}", name); got != "true" {
			t.Errorf("%s: OOMKilled %s", name, got)
		}
	}
	if err := touch(e.Dir + "/seen/go"); err != nil {
		t.Fatal(err)
	}
	oom("seen")
	e.Kill()
	if err := touch(e.Dir + "/unseen/go"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the kernel to kill it", func() bool { return !anyCommand("tail\x00/dev/zero") && !anyCommand("usleep 20000") })
	e.Start()
	oom("unseen")
}

// --rm goes also if the container ended while no engine, or no shim, ran.
func TestAutoRemoveAfterOutage(t *testing.T) {
	for _, both := range []bool{false, true} {
		t.Run(fmt.Sprint("shim too ", both), func(t *testing.T) {
			e := harness.New(t)
			e.Busybox()
			e.OK("run", "-d", "--rm", "--name", "box", "-v", "/anonymous", "-v", e.Dir+":/gate", "busybox", "sh", "-c",
				"while [ ! -e /gate/go ]; do usleep 20000; done")
			e.Kill()
			if both {
				e.KillShim()
			}
			if err := touch(e.Dir + "/go"); err != nil {
				t.Fatal(err)
			}
			harness.Eventually(t, "its end", func() bool { return !anyCommand("/gate/go") })
			e.Start()
			harness.Eventually(t, "its removal", func() bool { return e.OK("ps", "-aq") == "" })
			harness.Eventually(t, "its volume's removal", func() bool { return e.OK("volume", "ls", "-q") == "" })
		})
	}
}
