package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-containers/berth/test/harness"
)

// told is what the client of a short container was told.
type told struct {
	want, code int
	err        string
}

// runShort runs four containers with --rm that end with different codes.
func runShort(t *testing.T, e *harness.Engine) <-chan told {
	t.Helper()
	results := make(chan told, 4)
	for i := range cap(results) {
		cmd := e.Command("berth", "run", "--rm", "--name", fmt.Sprint("short", i), "-v", "/anonymous", "--memory", "64m", "--pids-limit", "50", "busybox", "sh", "-c", fmt.Sprint("exit ", 40+i))
		var errs strings.Builder
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			_ = cmd.Wait()
			results <- told{40 + i, cmd.ProcessState.ExitCode(), errs.String()}
		}()
	}
	return results
}

// remains are what is left of containers, one thing a line.
func remains(e *harness.Engine) string {
	left := strings.Fields(e.OK("ps", "-aq") + " " + e.OK("volume", "ls", "-q"))
	for _, dir := range []string{filepath.Join(e.DataRoot, "containers"), filepath.Join(e.ExecRoot, "shim"), filepath.Join(e.ExecRoot, "shm")} {
		entries, _ := os.ReadDir(dir)
		for _, entry := range entries {
			left = append(left, filepath.Join(dir, entry.Name()))
		}
	}
	for _, dir := range e.Cgroups() {
		if filepath.Base(dir) != filepath.Base(e.CgroupParent) {
			left = append(left, dir)
		}
	}
	return strings.Join(append(left, rootfsKeys(e)...), "\n")
}

// rootfsKeys are the folders of containers' root filesystems.
func rootfsKeys(e *harness.Engine) []string {
	keys, _ := filepath.Glob(filepath.Join(e.DataRoot, "rootfs", "[^.]*"))
	return keys
}

// Whoever dies at whatever moment of a short life: nothing of a container with
// --rm is left, its name is free, and no code that was told is wrong.
func TestKillInShortLives(t *testing.T) {
	kills := map[string]func(*testing.T, *harness.Engine){
		"engine": func(_ *testing.T, e *harness.Engine) { e.Kill() },
		"shim": func(t *testing.T, e *harness.Engine) {
			harness.Eventually(t, "a shim", func() bool { return e.ShimPid() != 0 })
			e.KillShim()
		},
	}
	for victim, kill := range kills {
		t.Run(victim, func(t *testing.T) {
			e := harness.New(t)
			e.Busybox()
			began := time.Now()
			for results, i := runShort(t, e), 0; i < 4; i++ {
				if r := <-results; r.code != r.want {
					t.Fatalf("%+v", r)
				}
			}
			life := time.Since(began)
			const rounds = 30
			for round := range rounds {
				results := runShort(t, e)
				<-time.After(life * time.Duration(round) / (rounds - 5)) // chooses the moment, decides nothing
				kill(t, e)
				if victim == "engine" {
					e.Start()
				}
				for range 4 {
					// 125: the client says that it could not be told.
					if r := <-results; r.code != r.want && (r.code != 125 && r.code != 1 || r.err == "") {
						t.Errorf("round %d: %+v", round, r)
					}
				}
				forgetVolumes(e)
				checkGone(t, e, round)
			}
		})
	}
}

// forgetVolumes removes dangling volumes: of the very moment between volume and
// record one may stay, and no record tells whose it was.
func forgetVolumes(e *harness.Engine) {
	for _, name := range strings.Fields(e.OK("volume", "ls", "-q", "-f", "dangling=true")) {
		e.Berth("volume", "rm", name)
	}
}

func checkGone(t *testing.T, e *harness.Engine, round int) {
	t.Helper()
	var left string
	if !harness.Await(func() bool { left = remains(e); return left == "" }) {
		t.Fatalf("round %d: left behind:\n%s\n%s", round, left, e.OK("ps", "-a"))
	}
}
