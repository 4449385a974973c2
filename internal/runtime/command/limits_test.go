package command_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

type event struct {
	Type, ID string
	Data     struct {
		Memory struct{ Usage struct{ Limit, Usage uint64 } }
		Pids   struct{ Current, Limit uint64 }
		CPU    struct{ Usage struct{ Total uint64 } }
	}
}

func TestUpdateAndEvents(t *testing.T) {
	adoptOrphans(t)
	b := newBundle(t, "sh", "-c", "while [ ! -e /shared/go ]; do sleep 0.02; done; x=x; while :; do x=$x$x; done")
	if err := os.MkdirAll(filepath.Join(b.dir, "rootfs/shared"), 0o755); err != nil {
		t.Fatal(err)
	}
	limit := int64(64 << 20)
	b.edit(func(s *specs.Spec) { s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit} })
	if err := os.WriteFile(filepath.Join(b.dir, "limits"), []byte(`{"pids":{"limit":77}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	b.must("create", b.id)
	pid := b.status().Pid
	b.must("start", b.id)
	b.must("update", "--memory", "32m", b.id)
	b.must("update", "--resources", filepath.Join(b.dir, "limits"), b.id)
	var e event
	if err := json.Unmarshal([]byte(b.must("events", "--stats", b.id)), &e); err != nil {
		t.Fatal(err)
	}
	if e.Type != "stats" || e.ID != b.id || e.Data.Memory.Usage.Limit != 32<<20 || e.Data.Pids.Limit != 77 || e.Data.Pids.Current == 0 || e.Data.CPU.Usage.Total == 0 {
		t.Errorf("%+v", e)
	}
	refused := map[string]string{
		"update --memory 1x ID":              "flag -memory",
		"update --l3-cache-schema L3:0=f ID": "Intel RDT",
		"events --interval 0 ID":             "--interval 0s",
	}
	if !unified() { // where such a limit ends the container
		refused["update --memory 1 ID"] = "memory"
	}
	for args, want := range refused {
		if out, code := b.run(strings.Fields(strings.ReplaceAll(args, "ID", b.id))...); code == 0 || !strings.Contains(out, want) {
			t.Errorf("%s: %q, code %d", args, out, code)
		}
	}
	// Statistics first, so that it watches when the container goes on.
	cmd := exec.Command(filepath.Join(b.dir, "berth-runtime"), "--root", b.state, "events", "--interval", "20ms", b.id)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		if len(seen) == 0 {
			if err := os.WriteFile(filepath.Join(b.dir, "rootfs/shared/go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		seen[e.Type] = true
	}
	if err := cmd.Wait(); err != nil || !seen["stats"] || !seen["oom"] {
		t.Errorf("events: %v, %v", seen, err)
	}
	reap(t, pid)
	if out, code := b.run("update", "--memory", "32m", b.id); code == 0 || !strings.Contains(out, "it is stopped") {
		t.Errorf("update of a stopped container: %q", out)
	}
	b.must("delete", b.id)
}
