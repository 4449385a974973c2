package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/test/harness"
)

func TestStatsAndUpdate(t *testing.T) {
	e := engine(t)
	e.OK("run", "-d", "--name", "busy", "--memory", "64m", "--pids-limit", "50", "busybox", "sh", "-c", "while :; do :; done")
	e.OK("create", "--name", "idle", "busybox")
	var s container.StatsResponse
	_, text, err := e.Do("GET", "/v1.47/containers/busy/stats?stream=0", "")
	if err == nil {
		err = json.Unmarshal([]byte(text), &s)
	}
	if err != nil {
		t.Fatal(err, text)
	}
	if s.Name != "/busy" || s.CPUStats.CPUUsage.TotalUsage <= s.PreCPUStats.CPUUsage.TotalUsage || s.CPUStats.SystemUsage <= s.PreCPUStats.SystemUsage || s.PreRead.IsZero() {
		t.Errorf("processor: %s", text)
	}
	if s.MemoryStats.Limit != 64<<20 || s.MemoryStats.Usage == 0 || s.PidsStats.Limit != 50 || s.PidsStats.Current == 0 || len(s.Networks) != 1 {
		t.Errorf("others: %s", text)
	}
	each(t, e, func(t *testing.T, client func(...string) harness.Result) {
		r := client("stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}", "busy", "idle")
		lines := strings.Split(strings.TrimSpace(r.Out), "\n")
		if r.Code != 0 || len(lines) != 2 || !strings.HasPrefix(lines[0], "busy ") || !strings.HasSuffix(lines[0], "/ 64MiB 1") || strings.HasPrefix(lines[0], "busy 0.00%") {
			t.Errorf("%+v", r)
		}
		if r := client("stats", "--no-stream", "nosuch"); r.Code == 0 || !strings.Contains(r.Err, "No such container") {
			t.Errorf("%+v", r)
		}
		r = client("update", "--memory", "80m", "--memory-swap", "160m", "--cpus", "0.5", "--pids-limit", "60", "--restart", "on-failure:3", "busy", "idle")
		if r.Code != 0 || !strings.Contains(r.Out, "busy") {
			t.Errorf("%+v", r)
		}
		for _, name := range []string{"busy", "idle"} {
			if got := e.OK("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}}", name); got != "83886080 500000000 60 on-failure" {
				t.Errorf("%s: %s", name, got)
			}
		}
		if got := memoryLimit(t, e); got != "83886080" {
			t.Errorf("the kernel's limit is %s", got)
		}
		if r := client("update", "--memory", "300m", "busy"); r.Code == 0 || !strings.Contains(r.Err, "memoryswap") {
			t.Errorf("memory above swap: %+v", r)
		}
		if got := memoryLimit(t, e); got != "83886080" {
			t.Errorf("after a refusal it is %s", got)
		}
		e.OK("update", "--memory", "64m", "--memory-swap", "128m", "busy")
	})
	if r := e.Berth("update", "busy"); r.Code != 1 || !strings.Contains(r.Err, "one or more flags") {
		t.Errorf("%+v", r)
	}
}

// memoryLimit is that of the one container that runs, as the kernel has it.
func memoryLimit(t *testing.T, e *harness.Engine) string {
	t.Helper()
	for _, dir := range e.Cgroups() {
		if filepath.Base(dir) == filepath.Base(e.CgroupParent) {
			continue
		}
		for _, file := range []string{"memory.limit_in_bytes", "memory.max"} {
			if b, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
				return strings.TrimSpace(string(b))
			}
		}
	}
	t.Fatal("no cgroup has a memory limit")
	return ""
}
