package host

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFacts(t *testing.T) {
	if Memory() < 1<<20 || OpenFiles() < 3 || Machine() == "" || Name() == "" {
		t.Error(Memory(), OpenFiles(), Machine(), Name())
	}
	if name, _ := Release(); name == "" {
		t.Error("no name")
	}
	before, err := CPU()
	if err != nil || before == 0 {
		t.Error(before, err)
	}
	if !FileIs("/proc/sys/kernel/ostype", "Linux") || FirstLine("/nosuch") != "" {
		t.Error("first lines")
	}
}

func TestDiskUsage(t *testing.T) {
	dir := t.TempDir()
	empty := DiskUsage(dir)
	if err := os.WriteFile(filepath.Join(dir, "a"), make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	one := DiskUsage(dir)
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if two := DiskUsage(dir); one-empty < 100_000 || two != one {
		t.Errorf("%d, with a file %d, with a second name of it %d", empty, one, two)
	}
}
