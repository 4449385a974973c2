package process

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParseMask(t *testing.T) {
	for in, want := range map[string]Mask{"0": {1}, "0-3,7": {0x8f}, "64": {0, 1}, "1, 3-3": {10}} {
		if got, err := ParseMask(in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %x, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "a", "1-", "-1", "3-1", "1,,2", "8192", "0-99999999999"} {
		if got, err := ParseMask(in); err == nil {
			t.Errorf("%q: %x", in, got)
		}
	}
}

func FuzzParseMask(f *testing.F) {
	for _, seed := range []string{"0-3,7", "8191", "1-", "", ","} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		if m, err := ParseMask(list); err == nil && (len(m) == 0 || len(m) > MaxMask/64) {
			t.Errorf("%q: %d words", list, len(m))
		}
	})
}

func TestHasAppArmor(t *testing.T) {
	root := t.TempDir()
	if HasAppArmor(root) {
		t.Error("a kernel without the module has it")
	}
	dir := filepath.Join(root, "sys/module/apparmor/parameters")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"Y\n": true, "N\n": false} {
		if err := os.WriteFile(filepath.Join(dir, "enabled"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if HasAppArmor(root) != want {
			t.Errorf("%q: %t", text, !want)
		}
	}
}

// What looks like an attribute of the process, and is an ordinary file, is not
// written to: the program would run unconfined.
func TestAttributesAreTheKernels(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "exec")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeAttr(dir, []string{"apparmor/exec", "exec"}, "exec web"); err == nil || !strings.Contains(err.Error(), "not of the kernel's proc") {
		t.Error(err)
	}
	if b, err := os.ReadFile(file); err != nil || len(b) != 0 {
		t.Errorf("%q, %v", b, err)
	}
	if err := writeAttr(dir, []string{"nothing"}, "x"); err == nil || !strings.Contains(err.Error(), "no such attribute") {
		t.Error(err)
	}
}
