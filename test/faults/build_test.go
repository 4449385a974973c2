package faults

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

const builds = 20

// contexts makes a folder for each build; some are further than others when the
// engine is killed.
func contexts(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for i := range builds {
		dir := t.TempDir()
		text := fmt.Sprintf("FROM busybox\nRUN echo %d > /first\nRUN sleep 0.%d; echo > /second\nCOPY file /\nRUN sleep 0.%d\n", i, i%7, i%5)
		for name, text := range map[string]string{"Dockerfile": text, "file": strings.Repeat(fmt.Sprintln(i), 10_000)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

func buildAll(e *harness.Engine, dirs []string) []*exec.Cmd {
	var all sync.WaitGroup
	cmds := make([]*exec.Cmd, len(dirs))
	for i, dir := range dirs {
		cmds[i] = e.Command("berth", "build", "-q", "-t", fmt.Sprint("built:", i), dir)
		all.Go(func() { _ = cmds[i].Run() })
	}
	all.Wait()
	return cmds
}

// An engine that is killed in the middle of builds leaves no step, no mount and
// no endpoint, and its cache can be built on.
func TestKillWhileBuilding(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	dirs := contexts(t)
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		// Some have their first layer, others do not.
		harness.Await(func() bool { return len(layerDirs(e)) > builds/2 })
		e.Kill()
	}()
	failed := 0
	for _, cmd := range buildAll(e, dirs) {
		if cmd.ProcessState.ExitCode() != 0 {
			failed++
		}
	}
	<-killed
	if failed == 0 {
		t.Error("no build noticed that the engine was killed")
	}
	harness.Eventually(t, "the builder to end", func() bool { return harness.Find("berth-build", e.ExecRoot) == 0 })
	e.Start()
	for _, dir := range e.Cgroups() {
		if strings.Contains(dir, "/build") {
			t.Error("a step's cgroup is left: " + dir)
		}
	}
	agree(t, e)
	for i, cmd := range buildAll(e, dirs) {
		if cmd.ProcessState.ExitCode() != 0 {
			t.Errorf("build %d after the kill: %v\n%s", i, cmd.ProcessState, e.Berth("build", "-t", "again", dirs[i]).Err)
		}
	}
	if got := e.OK("run", "--rm", "built:7", "cat", "/first"); strings.TrimSpace(got) != "7" {
		t.Errorf("the image has %q", got)
	}
	agree(t, e)
	// The builder's end is no matter either.
	pid := harness.Find("berth-build", e.ExecRoot)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(pid, err)
	}
	if r := e.Berth("build", "-q", "-t", "built:0", dirs[0]); r.Code != 0 {
		t.Errorf("after the builder's death: %s", r.Err)
	}
}

func layerDirs(e *harness.Engine) []string {
	dirs, _ := filepath.Glob(filepath.Join(e.DataRoot, "snapshots", "snapshots", "*", "fs"))
	return dirs
}

// agree compares what the engine says that images and cache take with the disk.
func agree(t *testing.T, e *harness.Engine) {
	t.Helper()
	said, disk := int64(0), int64(0)
	equal := harness.Await(func() bool { // what was let go of goes in the background
		said, disk = spaceSaid(t, e), 0
		for _, dir := range append(layerDirs(e), filepath.Join(e.DataRoot, "images", "blobs", "sha256")) {
			disk += allocated(t, dir)
		}
		// A directory's own blocks count with one and not with the other.
		return max(said, disk)-min(said, disk) <= disk/20
	})
	if !equal {
		t.Errorf("system df says %d bytes, the disk has %d", said, disk)
	}
}

func spaceSaid(t *testing.T, e *harness.Engine) int64 {
	t.Helper()
	status, text, err := e.Do("GET", "/v1.47/system/df", "")
	if err != nil || status != 200 {
		t.Fatalf("system df: %d %s %v", status, text, err)
	}
	var df struct {
		LayersSize int64
		BuildCache []struct {
			Shared bool
			Size   int64
		}
	}
	if err := json.Unmarshal([]byte(text), &df); err != nil {
		t.Fatal(err)
	}
	sum := df.LayersSize
	for _, c := range df.BuildCache {
		if !c.Shared {
			sum += c.Size
		}
	}
	return sum
}

// allocated are the bytes of a folder's files and folders, each inode once.
func allocated(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	seen := map[uint64]bool{}
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it was let go of
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if st := info.Sys().(*syscall.Stat_t); !seen[st.Ino] {
			seen[st.Ino] = true
			bytes += st.Blocks * 512
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}
