package name

import (
	"strings"
	"testing"
)

func FuzzNames(f *testing.F) {
	for _, ref := range []string{"a", "host", "a:1", "b/a@sha256:" + strings.Repeat("0", 64), "localhost:5000/a", "abc123", "sha256:ab", "", "A", "a::b", "dangling@sha256:x"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		named, err := ParseTag(ref)
		if err != nil {
			return
		}
		text, tagged := Familiar(named.String())
		if again, err := ParseTag(text); err != nil || again.String() != named.String() || !tagged {
			t.Errorf("%q is shown as %q, which is %v (%v)", ref, text, again, err)
		}
	})
}

func TestReserved(t *testing.T) {
	for ref, ok := range map[string]bool{"host": false, "host:x": false, "docker.io/library/host": false, "registry.example/host": true, "hosts": true} {
		if _, err := ParseNew(ref); (err == nil) != ok {
			t.Errorf("ParseNew(%q) = %v", ref, err)
		}
	}
}

func TestServer(t *testing.T) {
	for address, want := range map[string]string{
		"": "docker.io", "https://index.docker.io/v1/": "docker.io", "docker.io": "docker.io",
		"localhost:5000": "localhost:5000", "http://r.example:5000/v2/": "r.example:5000",
	} {
		if got := Server(address); got != want {
			t.Errorf("Server(%q) = %q, not %q", address, got, want)
		}
	}
}
