package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// What "system df" says is what "du" would.
func TestDiskUsage(t *testing.T) {
	e := engine(t)
	e.OK("tag", "busybox", "other:1")
	e.OK("run", "--name", "writer", "-v", "data:/data", "busybox", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x | tee /data/file > /file")
	var u struct {
		ImageUsage, ContainerUsage, VolumeUsage struct{ TotalCount, ActiveCount, TotalSize, Reclaimable int64 }
	}
	_, text, err := e.Do("GET", "/v1.52/system/df", "")
	if err == nil {
		err = json.Unmarshal([]byte(text), &u)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		what      string
		got, want int64
	}{
		{"images", u.ImageUsage.TotalSize, du(t, filepath.Join(e.DataRoot, "images", "blobs")) + du(t, filepath.Join(e.DataRoot, "snapshots", "snapshots"))},
		{"containers", u.ContainerUsage.TotalSize, du(t, filepath.Join(e.DataRoot, "rootfs"))},
		{"volumes", u.VolumeUsage.TotalSize, du(t, filepath.Join(e.DataRoot, "volumes"))},
	} {
		// Folders and records around the things weigh a few blocks.
		if off := row.want - row.got; off < -64<<10 || off > 64<<10 {
			t.Errorf("%s: %d bytes, on the disk %d", row.what, row.got, row.want)
		}
	}
	if u.ContainerUsage.TotalSize < 3_000_000 || u.ContainerUsage.Reclaimable != u.ContainerUsage.TotalSize || u.VolumeUsage.ActiveCount != 1 || u.VolumeUsage.Reclaimable != 0 {
		t.Errorf("%+v", u)
	}
	for _, out := range []string{e.OK("system", "df"), e.DockerOK("system", "df")} {
		for _, want := range []string{"Images", "Containers", "Local Volumes", "Build Cache", "3.0"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in:\n%s", want, out)
			}
		}
	}
	for _, out := range []string{e.OK("system", "df", "-v"), e.DockerOK("system", "df", "-v")} {
		if !strings.Contains(out, "writer") || !strings.Contains(out, "data") {
			t.Error(out)
		}
	}
}

// du is the space below dir, each inode once.
func du(t *testing.T, dir string) int64 {
	t.Helper()
	var sum int64
	seen := map[uint64]bool{}
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if s := info.Sys().(*syscall.Stat_t); !seen[s.Ino] {
			seen[s.Ino] = true
			sum += s.Blocks * 512
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestPrune(t *testing.T) {
	e := engine(t)
	for _, client := range []struct {
		name string
		do   func(...string) harness.Result
	}{{"berth", e.Berth}, {"docker", e.Docker}} {
		t.Run(client.name, func(t *testing.T) {
			prune := func(args ...string) string {
				t.Helper()
				r := client.do(args...)
				if r.Code != 0 {
					t.Errorf("%v: %+v", args, r)
				}
				return r.Out
			}
			e.OK("run", "-d", "--name", "runs", "busybox", "sleep", "300")
			e.OK("create", "--name", "kept", "--label", "keep", "busybox")
			e.OK("create", "--name", "goes", "-v", "/anonymous", "busybox")
			e.OK("volume", "create", "named")
			e.OK("import", "-", "unused:1")
			if out := prune("container", "prune", "-f", "--filter", "label!=keep"); !strings.Contains(out, "Total reclaimed space") {
				t.Error(out)
			}
			if names := e.OK("ps", "-a", "--format", "{{.Names}}"); !strings.Contains(names, "runs") || !strings.Contains(names, "kept") || strings.Contains(names, "goes") {
				t.Errorf("left: %s", names)
			}
			prune("volume", "prune", "-f")
			if left := e.OK("volume", "ls", "-q"); left != "named" {
				t.Errorf("volumes left: %s", left)
			}
			prune("image", "prune", "-f")
			if e.OK("images", "-q", "unused:1") == "" {
				t.Error("an image with a name was pruned as a dangling one")
			}
			if out := prune("system", "prune", "-a", "-f", "--volumes"); !strings.Contains(out, "unused:1") {
				t.Error(out)
			}
			if left := e.OK("images", "--format", "{{.Repository}}"); strings.Contains(left, "unused") || !strings.Contains(left, "busybox") {
				t.Errorf("images left: %s", left)
			}
			prune("volume", "prune", "-a", "-f")
			prune("network", "prune", "-f")
			if left := e.OK("volume", "ls", "-q") + e.OK("ps", "-aq", "-f", "status=created"); left != "" {
				t.Errorf("left: %s", left)
			}
			if r := e.WithInput("n\n", "system", "prune"); r.Code != 1 || !strings.Contains(r.Out, "WARNING") {
				t.Errorf("without a yes: %+v", r)
			}
			e.OK("rm", "-f", "runs")
		})
	}
	for _, args := range [][]string{{"container", "prune", "-f", "--filter", "status=exited"}, {"image", "prune", "-f", "--filter", "until=x"},
		{"system", "prune", "-f", "--volumes", "--filter", "until=1h"}} {
		if r := e.Berth(args...); r.Code != 1 || r.Err == "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
}
