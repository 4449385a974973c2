package cgroup

import (
	"os"
	"path/filepath"
	"testing"
)

// A cpuset that another process is just making has one of its two values.
func TestCompleteOfHalfMade(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "parent")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{"cpuset.cpus": "0-1\n", "cpuset.mems": "0\n", "parent/cpuset.cpus": "0\n", "parent/cpuset.mems": ""} {
		if err := os.WriteFile(filepath.Join(root, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := (hierarchy{root: root, controllers: []string{"cpuset"}}).inherit(root, dir); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"cpuset.cpus": "0\n", "cpuset.mems": "0"} {
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(got) != want {
			t.Errorf("%s: %q %v, want %q", file, got, err, want)
		}
	}
}
