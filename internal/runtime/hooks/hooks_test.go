package hooks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func sh(script string, env ...string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Args: []string{"hook", "-c", script}, Env: env}
}

func TestRun(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	short := 1
	slow := sh("echo before; sleep 1000 & wait")
	slow.Timeout = &short
	big := strings.Repeat("x", 200_000)
	for name, row := range map[string]struct {
		hook  specs.Hook
		state string
		want  string // of the error
		file  string
	}{
		"state, arguments and environment": {hook: sh("echo $0 $A $(cat) > "+out, "A=b"), state: "{}", file: "hook b {}\n"},
		"no environment of ours":           {hook: sh("echo ${HOME-none} > " + out), file: "none\n"},
		"a state bigger than a pipe":       {hook: sh("wc -c > "+out, "PATH=/bin:/usr/bin"), state: big, file: "200000\n"},
		"one that does not read":           {hook: sh("echo > " + out), state: big, file: "\n"},
		"failure":                          {hook: sh("echo why >&2; exit 3"), want: "hooks.poststart[0] /bin/sh: exit status 3: why"},
		"signal":                           {hook: sh("kill -9 $$"), want: "ended by signal killed"},
		"missing":                          {hook: specs.Hook{Path: "/nonexistent"}, want: "/nonexistent: no such file"},
		"timeout":                          {hook: slow, want: "killed after its timeout of 1 s: before"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Run("poststart", []specs.Hook{row.hook}, row.state)
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Fatalf("got %v, want %q", err, row.want)
			}
			if row.want == "" {
				if got, err := os.ReadFile(out); err != nil || string(got) != row.file {
					t.Errorf("got %q, want %q, %v", got, row.file, err)
				}
			}
		})
	}
}

func TestOrder(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	list := []specs.Hook{sh("echo 1 >> " + out), sh("exit 1"), sh("echo 3 >> " + out)}
	if err := Run("x", list, ""); err == nil {
		t.Error("Run: no error")
	}
	if err := RunAll("x", list, ""); err == nil || !strings.Contains(err.Error(), "hooks.x[1]") {
		t.Error("RunAll:", err)
	}
	if got, err := os.ReadFile(out); string(got) != "1\n1\n3\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestCheck(t *testing.T) {
	zero := 0
	for want, h := range map[string]*specs.Hooks{
		"": nil,
		`hooks.createRuntime[1].path "rel" is not absolute`:    {CreateRuntime: []specs.Hook{{Path: "/a"}, {Path: "rel"}}},
		`hooks.poststop[0].timeout 0 is not greater than zero`: {Poststop: []specs.Hook{{Path: "/a", Timeout: &zero}}},
	} {
		err := Check(h)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestWithPid(t *testing.T) {
	if got := WithPid(`{"a":1}`, 7); got != `{"a":1,"pid":7}` {
		t.Error(got)
	}
}
