package name

import "testing"

func TestSplit(t *testing.T) {
	for in, want := range map[string][5]string{
		"busybox":             {"busybox", "", "", "docker.io", "docker.io/library/busybox:latest"},
		"a/b:1":               {"a/b", "1", "", "docker.io", "docker.io/a/b:1"},
		"h:5000/b":            {"h:5000/b", "", "", "h:5000", "h:5000/b:latest"},
		"localhost/b:1":       {"localhost/b", "1", "", "localhost", "localhost/b:1"},
		"h.x/b:1@sha256:ab":   {"h.x/b", "1", "sha256:ab", "h.x", "h.x/b@sha256:ab"},
		"docker.io/library/b": {"docker.io/library/b", "", "", "docker.io", "docker.io/library/b:latest"},
	} {
		n := Split(in)
		if got := [5]string{n.Repository, n.Tag, n.Digest, n.Registry(), n.Full()}; got != want {
			t.Errorf("%s: %v", in, got)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("h:5000/b:1@sha256:ab")
	f.Fuzz(func(_ *testing.T, s string) { _ = Split(s).Full() })
}
