package vm

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// suite is a package whose own tests are run in the machine.
type suite struct {
	name, pkg string
	machine   string
	run       string // which tests; "": all
	// skips says of each test that may skip itself there what the machine lacks.
	// Every such test runs on the host.
	skips map[string]string
}

const module = "github.com/berth-containers/berth/"

var suites = []suite{
	{name: "conformance", pkg: module + "test/conformance/runtime", machine: runtimeMachine, skips: map[string]string{
		"TestExecCPUAffinity": "a second processor",
	}},
	{name: "cgroup", pkg: module + "internal/sys/cgroup", machine: engineMachine, skips: map[string]string{"TestDoors": "cgroup v1"}},
	{name: "quota", pkg: module + "internal/sys/quota", machine: runtimeMachine},
	{name: "runtime", pkg: module + "internal/runtime", machine: engineMachine},
	// What else there is of users without privileges calls newuidmap and util-linux.
	{name: "command", pkg: module + "internal/runtime/command", machine: engineMachine, run: "^TestRootless(Cgroup)?$|UpdateAndEvents"},
}

// suitePatience ends a suite in the machine and has it say which test hung.
const suitePatience = patience * 3 / 4

func (s suite) binary() string { return s.name + ".test" }

// compile builds the suites, and the probe that conformance cannot build there.
func compile(t *testing.T, bin string) {
	t.Helper()
	build := func(args ...string) {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	for _, s := range suites {
		build("test", "-c", "-ldflags=-s -w", "-o", filepath.Join(bin, s.binary()), s.pkg)
	}
	build("build", "-ldflags=-s -w", "-o", filepath.Join(bin, "probe"), module+"test/conformance/runtime/probe")
}

// script is what runs the suite in the machine.
func (s suite) script() string {
	return fmt.Sprintf("cd /data && TMPDIR=/data BERTH_BIN=/bin BERTH_PROBE=/bin/probe %s -test.v=test2json -test.run '%s' -test.timeout %v 2>&1; echo code $?", s.binary(), s.run, suitePatience)
}

// event is what test2json makes of a line.
type event struct{ Action, Test, Output string }

// verdict is a test's end, "" without one, whether it or a part of it was skipped, and all
// that it said.
type verdict struct {
	action  string
	skipped bool
	words   strings.Builder
}

// judge gives each test that the suite began a result of its own. That none was
// kept from beginning, by a panic or a hang, is what the suite's exit code says.
func (s suite) judge(t *testing.T, text string) {
	tests := s.verdicts(t, text)
	failed := false
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		v := tests[name]
		failed = !t.Run(name, func(t *testing.T) {
			switch reason, known := s.skips[name]; {
			case v.action == "pass" && !v.skipped:
			case v.action != "fail" && v.skipped && known:
				t.Skipf("the machine lacks %s", reason)
			default:
				t.Errorf("%s:\n%s", cmp.Or(v.action, "does not end"), v.words.String())
			}
		}) || failed
	}
	if len(tests) == 0 || !strings.HasSuffix(text, "code 0\n") && !failed {
		t.Errorf("does not end well after %d tests; its last words:\n%s", len(tests), tail(text))
	}
}

// verdicts reads what the suite printed.
func (s suite) verdicts(t *testing.T, text string) map[string]*verdict {
	t.Helper()
	cmd := exec.Command("go", "tool", "test2json")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go tool test2json: %v", err)
	}
	tests := map[string]*verdict{}
	for line := range bytes.Lines(out) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("go tool test2json says %q: %v", line, err)
		}
		name, _, nested := strings.Cut(e.Test, "/")
		if name == "" {
			continue
		}
		v := tests[name]
		if v == nil {
			v = &verdict{}
			tests[name] = v
		}
		v.words.WriteString(e.Output)
		v.skipped = v.skipped || e.Action == "skip"
		if !nested && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip") {
			v.action = e.Action
		}
	}
	return tests
}
