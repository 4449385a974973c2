package classic

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/moby/api/types/registry"
)

func archiveOf(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		h.Mode, h.Size = 0o644, int64(len(h.Uname))
		content := h.Uname
		h.Uname = ""
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// No name and no link of a context leads out of its directory.
func TestUnpackStaysInside(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("safe"), 0o600); err != nil {
		t.Fatal(err)
	}
	body := archiveOf(t,
		tar.Header{Name: "Dockerfile", Uname: "FROM scratch"},
		tar.Header{Name: ".wh.file", Uname: "a file"},
		tar.Header{Name: "../../escaped", Uname: "x"},
		tar.Header{Name: "dir", Typeflag: tar.TypeSymlink, Linkname: filepath.Dir(outside)},
		tar.Header{Name: "dir/outside", Uname: "written"})
	parent := t.TempDir()
	c, err := Unpack(t.Context(), parent, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "safe" {
		t.Errorf("the file outside is %q, %v", b, err)
	}
	if list, err := os.ReadDir(parent); err != nil || len(list) != 1 {
		t.Errorf("beside the context: %v, %v", list, err)
	}
	if b, err := c.Dockerfile(""); err != nil || string(b) != "FROM scratch" {
		t.Errorf("Dockerfile: %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, ".wh.file")); err != nil {
		t.Error(err)
	}
	if _, err := c.Dockerfile("dir/outside"); err == nil {
		t.Error("a Dockerfile outside of the context was read")
	}
	if _, err := c.Dockerfile("other"); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "Cannot locate specified Dockerfile: other") {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestBadContext(t *testing.T) {
	parent := t.TempDir()
	if _, err := Unpack(t.Context(), parent, strings.NewReader(strings.Repeat("no tar", 200))); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
	if list, err := os.ReadDir(parent); err != nil || len(list) != 0 {
		t.Errorf("left: %v, %v", list, err)
	}
	c, err := Unpack(t.Context(), parent, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Dockerfile(""); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}

func TestCredentials(t *testing.T) {
	c := &credentials{byHost: map[string]registry.AuthConfig{
		"https://index.docker.io/v1/": {Username: "hub", Password: "h"},
		"https://reg.lan:5000":        {Username: "u", Password: "p"},
		"tokens.lan":                  {Username: "<token>", IdentityToken: "t"},
	}}
	for host, want := range map[string]string{"registry-1.docker.io": "hub h", "reg.lan:5000": "u p", "tokens.lan": " t", "else.lan": " "} {
		got, err := c.Credentials(t.Context(), &auth.CredentialsRequest{Host: host})
		if err != nil || got.Username+" "+got.Secret != want {
			t.Errorf("%s: %v, %v; want %q", host, got, err, want)
		}
	}
}
