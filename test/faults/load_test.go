package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// flood writes numbers as fast as it can until the gate opens, then says how many.
const flood = `i=0; while [ ! -e /gate/stop ]; do for k in 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9; do echo $i; i=$((i+1)); done; done; echo end $i`

// Shims killed under heavy output: no line is lost, doubled or torn.
func TestKillShimUnderLoad(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	for _, driver := range []string{"ring", "json-file"} {
		size := "max-size=1g"
		e.OK("run", "-d", "--name", driver, "--log-driver", driver, "--log-opt", size, "-v", e.Dir+":/gate", "busybox", "sh", "-c", flood)
	}
	for range 8 {
		awaitOutput(t, e, "ring", "json-file")
		killShim(t, e)
	}
	awaitOutput(t, e, "ring", "json-file")
	if err := touch(filepath.Join(e.Dir, "stop")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ring", "json-file"} {
		awaitState(t, e, name, "exited 0")
		checkFlood(t, name, e.OK("logs", name))
	}
}

// checkFlood fails at the first line that is not the next one.
func checkFlood(t *testing.T, name, text string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	last := len(lines) - 1
	for i, line := range lines[:last] {
		if line != strconv.Itoa(i) {
			t.Fatalf("%s: line %d is %q, of %d", name, i, line, last)
		}
	}
	if want := fmt.Sprint("end ", last); lines[last] != want {
		t.Fatalf("%s: the last line is %q, not %q", name, lines[last], want)
	}
}

// awaitOutput returns when the logs of the containers have grown.
func awaitOutput(t *testing.T, e *harness.Engine, names ...string) {
	t.Helper()
	before := map[string]int64{}
	for _, name := range names {
		before[name] = logBytes(e, name)
	}
	for _, name := range names {
		harness.Eventually(t, "output of "+name, func() bool { return logBytes(e, name) > before[name]+64<<10 })
	}
}

// logBytes is the size of what a container has logged.
func logBytes(e *harness.Engine, name string) int64 {
	id := e.OK("inspect", "-f", "{{.Id}}", name)
	var n int64
	_ = filepath.WalkDir(filepath.Join(e.DataRoot, "containers", id, "logs"), func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// Shims killed while containers are started: a start says what became of it,
// and nothing is left of one that failed.
func TestKillShimWhileStarting(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	for round := range 6 {
		results := make(chan string)
		for i := range 4 {
			name := fmt.Sprintf("r%dn%d", round, i)
			cmd := e.Command("berth", "run", "-d", "--name", name, "busybox", "sleep", "1000")
			go func() {
				out, err := cmd.CombinedOutput()
				if err != nil {
					results <- fmt.Sprintf("%s: %s", name, out)
					return
				}
				results <- ""
			}()
		}
		pause(round * 7)
		killShim(t, e)
		for range 4 {
			if failed := <-results; failed != "" {
				t.Log(failed)
			}
		}
		for _, line := range strings.Split(e.OK("ps", "-a", "--format", "{{.Names}} {{.State}}"), "\n") {
			name, status, _ := strings.Cut(line, " ")
			if status == "running" {
				e.OK("exec", name, "true")
			} else {
				e.OK("start", name)
				e.OK("exec", name, "true")
			}
		}
	}
}

// A terminal outlives its shim: one attaches afterwards and types.
func TestTerminalOutlivesShim(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	e.OK("run", "-dit", "--name", "tty", "busybox", "sh", "-c", `while read line; do echo "got $line"; [ "$line" = bye ] && exit 5; done`)
	for i := range 3 {
		killShim(t, e)
		attached := attach(t, e, "tty")
		attached.say(fmt.Sprintf("line%d", i))
		attached.await(fmt.Sprintf("got line%d", i))
		attached.leave()
	}
	attached := attach(t, e, "tty")
	attached.say("bye")
	attached.await("got bye")
	attached.leave()
	awaitState(t, e, "tty", "exited 5")
	if logs := e.OK("logs", "tty"); !strings.Contains(logs, "got line0") || !strings.Contains(logs, "got bye") {
		t.Errorf("the log: %q", logs)
	}
}
