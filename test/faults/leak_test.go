package faults

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// usage is what Berth's processes hold, and the files that come and go with containers.
type usage struct {
	engineFiles, shimFiles     string // descriptors, one a line
	engineThreads, shimThreads int
	files                      string // one a line
}

func look(t *testing.T, e *harness.Engine) usage {
	t.Helper()
	u := usage{
		engineFiles: descriptors(t, e.Pid()), shimFiles: descriptors(t, e.ShimPid()),
		engineThreads: entries(t, e.Pid(), "task"), shimThreads: entries(t, e.ShimPid(), "task"),
	}
	var files []string
	for _, root := range append(cgroupRoots(t, e), e.ExecRoot, filepath.Join(e.DataRoot, "containers"), filepath.Join(e.DataRoot, "snapshots")) {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && (d.IsDir() || strings.HasPrefix(root, e.ExecRoot)) {
				files = append(files, path)
			}
			return nil
		})
	}
	u.files = strings.Join(files, "\n")
	return u
}

func entries(t *testing.T, pid int, what string) int {
	t.Helper()
	list, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), what))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// descriptors says how many of each kind a process has open.
func descriptors(t *testing.T, pid int) string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, entry := range list {
		if target, err := os.Readlink(filepath.Join(dir, entry.Name())); err == nil {
			kind, _, numbered := strings.Cut(target, ":[")
			if !numbered {
				kind = target
			}
			count[kind]++
		}
	}
	var lines []string
	for kind, n := range count {
		lines = append(lines, fmt.Sprint(n, " ", kind))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func cgroupRoots(t *testing.T, e *harness.Engine) []string {
	t.Helper()
	v1, err := filepath.Glob("/sys/fs/cgroup/*" + e.CgroupParent)
	if err != nil {
		t.Fatal(err)
	}
	return append(v1, "/sys/fs/cgroup"+e.CgroupParent)
}

// After many containers and execs nothing of them is held.
func TestNothingLeaks(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	e.OK("run", "-d", "--name", "stays", "busybox", "sleep", "1000")
	round := func(runs, execs int) {
		t.Helper()
		done := make(chan string)
		for worker := range 4 {
			go func() {
				for i := range runs / 4 {
					done <- attempt(e, "run", "--rm", "busybox", "echo", fmt.Sprint(worker, i))
				}
				for i := range execs / 4 {
					done <- attempt(e, "exec", "stays", "echo", fmt.Sprint(worker, i))
				}
			}()
		}
		for range 4 * (runs/4 + execs/4) {
			if failed := <-done; failed != "" {
				t.Error(failed)
			}
		}
	}
	round(20, 8) // what is made once and kept: pools, caches, threads
	before := atRest(t, e)
	round(200, 48)
	after := usage{}
	if !harness.Await(func() bool {
		after = look(t, e)
		return after.engineFiles == before.engineFiles && after.shimFiles == before.shimFiles && after.files == before.files
	}) {
		differ(t, "the engine's descriptors", before.engineFiles, after.engineFiles)
		differ(t, "the shim's descriptors", before.shimFiles, after.shimFiles)
		differ(t, "files", before.files, after.files)
	}
	// The Go runtime keeps a thread it once needed; a leak would be one a container.
	const few = 12
	if after.engineThreads > before.engineThreads+few || after.shimThreads > before.shimThreads+few {
		t.Errorf("threads: before %+v, after %+v", before, after)
	}
}

func differ(t *testing.T, what, before, after string) {
	t.Helper()
	if before != after {
		t.Errorf("%s were\n%s\nand are\n%s", what, before, after)
	}
}

func attempt(e *harness.Engine, args ...string) string {
	want := args[len(args)-1]
	out, err := e.Command("berth", args...).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != want {
		return fmt.Sprintf("%v: %v: %s", args, err, out)
	}
	return ""
}

// atRest looks until two looks, with a pause between them, are the same.
func atRest(t *testing.T, e *harness.Engine) usage {
	t.Helper()
	last := look(t, e)
	harness.Eventually(t, "the engine to come to rest", func() bool {
		pause(200)
		now := look(t, e)
		same := now == last
		last = now
		return same
	})
	return last
}
