package arch

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the lists of what each binary links")

// Each binary's list is committed: what makes a small process big is seen in
// the change that does it. After a wanted change: go test ./internal/arch -update
func TestLinks(t *testing.T) {
	commands, err := filepath.Glob("../../cmd/*")
	if err != nil || len(commands) == 0 {
		t.Fatal("no commands", err)
	}
	for _, dir := range commands {
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			got := links(t, name, "{{if not .Standard}}{{.ImportPath}}{{end}}")
			file := filepath.Join("links", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Fields(string(b))
			for _, p := range got {
				if !slices.Contains(want, p) {
					t.Errorf("%s now links %s; if that is wanted: go test ./internal/arch -update", name, p)
				}
			}
			for _, p := range want {
				if !slices.Contains(got, p) {
					t.Errorf("%s no longer links %s; go test ./internal/arch -update", name, p)
				}
			}
		})
	}
}

// A runtime is started several times for each container: what prepares tables at
// start, or links what does, costs each of them.
func TestSlowStarters(t *testing.T) {
	for _, command := range []string{"berth-runtime", "berth-init"} {
		got := links(t, command, "{{.ImportPath}}")
		for slow, instead := range map[string]string{
			"encoding/json": "internal/leanjson", "net": "sockets of x/sys/unix", "regexp": "a loop", "crypto/sha256": "the text itself as the key",
			"text/template": "fmt", "log/slog": "fmt",
		} {
			if slices.Contains(got, slow) {
				t.Errorf("%s links %s, which slows its start; use %s", command, slow, instead)
			}
		}
	}
}

// links lists the packages that a command is made of, by a template of go list.
func links(t *testing.T, command, format string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", format, "./cmd/"+command)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	list := strings.Fields(string(out))
	slices.Sort(list)
	return list
}
