package faults

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-containers/berth/test/harness"
)

const counter = `i=0; while :; do echo $i; i=$((i+1)); usleep 50000; done`

// runCounters starts containers that log a numbered line every 50 ms.
func runCounters(e *harness.Engine, count int) []string {
	var names []string
	for i := range count {
		name := fmt.Sprint("counter", i)
		e.OK("run", "-d", "--name", name, "busybox", "sh", "-c", counter)
		names = append(names, name)
	}
	return names
}

// checkCounter fails if a number is missing, doubled or out of order; it returns how many there are.
func checkCounter(t *testing.T, e *harness.Engine, name string) int {
	t.Helper()
	lines := strings.Fields(e.OK("logs", name))
	for i, line := range lines {
		if n, err := strconv.Atoi(line); err != nil || n != i {
			t.Errorf("%s: line %d is %q", name, i, line)
			return i
		}
	}
	return len(lines)
}

func state(e *harness.Engine, name string) string {
	return e.OK("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name)
}

// 20 containers log on while the engine is dead, five more exit meanwhile.
func TestKillEngine(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	counters := runCounters(e, 20)
	for i := range 5 {
		// Each exits when its file appears, which is while no engine runs.
		e.OK("run", "-d", "--name", fmt.Sprint("exits", i), "-v", e.Dir+":/gate", "busybox", "sh", "-c",
			fmt.Sprintf("while [ ! -e /gate/go ]; do usleep 20000; done; echo last words %d; exit %d", i, 10+i))
	}
	pids := strings.Fields(e.OK(append([]string{"inspect", "-f", "{{.State.Pid}}"}, counters...)...))
	before := checkCounter(t, e, counters[0])

	e.Kill()
	if err := touch(e.Dir + "/go"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the five to exit", func() bool { return !anyCommand("last words") })
	outage := time.NewTimer(500 * time.Millisecond) // an outage of ten lines
	<-outage.C
	e.Start()

	for i := range 5 {
		name := fmt.Sprint("exits", i)
		harness.Eventually(t, name+" to be known as exited", func() bool { return state(e, name) == fmt.Sprint("exited ", 10+i) })
		if got := e.OK("logs", name); got != fmt.Sprint("last words ", i) {
			t.Errorf("%s: %q", name, got)
		}
	}
	for i, name := range counters {
		if got := state(e, name); got != "running 0" {
			t.Errorf("%s: %s", name, got)
		}
		if got := e.OK("inspect", "-f", "{{.State.Pid}}", name); got != pids[i] {
			t.Errorf("%s has another pid", name)
		}
	}
	harness.Eventually(t, "lines written during the outage", func() bool { return checkCounter(t, e, counters[0]) > before+10 || t.Failed() })
	e.OK(append([]string{"kill"}, counters...)...)
	for _, name := range counters {
		checkCounter(t, e, name)
		harness.Eventually(t, name+" to be known as killed", func() bool { return state(e, name) == "exited 137" })
	}
}

// A killed shim: the containers run on, their codes are known or said to be unknown.
func TestKillShim(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	counters := runCounters(e, 5)
	e.OK("run", "-d", "--name", "exits", "-v", e.Dir+":/gate", "busybox", "sh", "-c", "while [ ! -e /gate/go ]; do usleep 20000; done; exit 33")
	e.OK("run", "-dit", "--name", "tty", "busybox", "sh")
	old := e.ShimPid()
	e.KillShim()
	harness.Eventually(t, "a new shim", func() bool { pid := e.ShimPid(); return pid != 0 && pid != old })
	if err := touch(e.Dir + "/go"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the exit to be seen", func() bool { return strings.HasPrefix(state(e, "exits"), "exited") })
	if got := state(e, "exits"); got != "exited 33" && got != "exited -1" {
		t.Errorf("an exit code was made up: %s", got)
	}
	for _, name := range append(counters, "tty") {
		if got := state(e, name); got != "running 0" {
			t.Errorf("%s: %s", name, got)
		}
	}
	grows := checkCounter(t, e, counters[0])
	harness.Eventually(t, "more lines", func() bool { return checkCounter(t, e, counters[0]) > grows+5 || t.Failed() })
	if got := e.OK("exec", counters[0], "echo", "hi"); got != "hi" {
		t.Errorf("exec: %q", got)
	}
	if got := e.OK("run", "--rm", "busybox", "echo", "new"); got != "new" {
		t.Errorf("run: %q", got)
	}
	for _, name := range counters {
		checkCounter(t, e, name)
	}
	e.OK(append([]string{"stop", "-t", "0"}, counters...)...)
}

// Engine and shim die together: nothing that runs is lost, nothing is made up.
func TestKillShimAndEngine(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	counters := runCounters(e, 3)
	e.OK("run", "-d", "--name", "exits", "-v", e.Dir+":/gate", "busybox", "sh", "-c", "while [ ! -e /gate/go ]; do usleep 20000; done; exit 33")
	e.Kill() // first: it is quick to make a new shim
	e.KillShim()
	if err := touch(e.Dir + "/go"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the exit", func() bool { return !anyCommand("exit 33") })
	e.Start()
	harness.Eventually(t, "the exit to be seen", func() bool { return strings.HasPrefix(state(e, "exits"), "exited") })
	if got := state(e, "exits"); got != "exited -1" {
		t.Errorf("nobody can know this code, and yet: %s", got)
	}
	if got := e.OK("inspect", "-f", "{{.State.Error}}", "exits"); got == "" {
		t.Error("an unknown code without a reason")
	}
	for _, name := range counters {
		if got := state(e, name); got != "running 0" {
			t.Errorf("%s: %s", name, got)
		}
		checkCounter(t, e, name)
	}
}

// Killed in the middle of starting: the next engine is clean.
func TestKillEngineWhileStarting(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	for round := range 6 {
		done := make(chan struct{})
		for i := range 4 {
			cmd := e.Command("berth", "run", "-d", "--name", fmt.Sprintf("r%dn%d", round, i), "busybox", "sleep", "1000")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			go func() { _ = cmd.Wait(); done <- struct{}{} }()
		}
		moment := time.NewTimer(time.Duration(round*9) * time.Millisecond)
		<-moment.C
		e.Kill()
		for range 4 {
			<-done
		}
		e.Start()
		if got := e.OK("run", "--rm", "busybox", "echo", "fine"); got != "fine" {
			t.Fatalf("round %d: %q", round, got)
		}
		for _, line := range strings.Split(e.OK("ps", "-a", "--format", "{{.Names}} {{.State}}"), "\n") {
			name, status, _ := strings.Cut(line, " ")
			if status == "running" && e.Berth("exec", name, "true").Code != 0 {
				t.Errorf("round %d: %s", round, line)
			}
		}
	}
}

func TestCorruptRecord(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	e.OK("create", "--name", "good", "busybox")
	e.Stop()
	if err := corruptFile(e.DataRoot + "/engine.db"); err != nil {
		t.Fatal(err)
	}
	if err := e.TryStart(); err == nil {
		t.Fatal("the engine took a database that is none")
	}
	if log := e.Log(); !strings.Contains(log, "engine.db") {
		t.Errorf("the error does not name the file: %s", log)
	}
	if err := restoreFile(e.DataRoot + "/engine.db"); err != nil {
		t.Fatal(err)
	}
	e.Start()
	if got := e.OK("ps", "-a", "--format", "{{.Names}}"); got != "good" {
		t.Errorf("after the file is back: %q", got)
	}
}
