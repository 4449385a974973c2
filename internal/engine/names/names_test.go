package names

import (
	"errors"
	"regexp"
	"testing"

	"github.com/containerd/errdefs"
)

func TestPick(t *testing.T) {
	tries := 0
	name, err := Pick(func(string) error {
		if tries++; tries < 15 {
			return errdefs.ErrConflict
		}
		return nil
	})
	if err != nil || !regexp.MustCompile(`^[a-z]+_[a-z]+14$`).MatchString(name) {
		t.Fatal(name, err)
	}
	broken := errors.New("broken")
	if _, err := Pick(func(string) error { return broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if _, err := Pick(func(string) error { return errdefs.ErrConflict }); !errdefs.IsResourceExhausted(err) {
		t.Fatal(err)
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		id := NewID()
		if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(id) || seen[id] {
			t.Fatal(id)
		}
		seen[id] = true
	}
}

func TestCheck(t *testing.T) {
	for in, want := range map[string]string{"web": "web", "/web": "web", "a.b_c-1": "a.b_c-1", "x": "", "": "", "-a": "", "a b": "", "//a": "", "ä1": ""} {
		got, err := Check(in)
		if got != want || (want == "") != errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}
