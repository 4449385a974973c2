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
			got := links(t, name)
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

// links lists the packages outside the standard library that a command is made of.
func links(t *testing.T, command string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./cmd/"+command)
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
