package image

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestHostHidden(t *testing.T) {
	root := t.TempDir()
	for _, f := range []string{
		"etc/letsencrypt/live/key.pem", "etc/hosts", "var/lib/cloud/instance/user-data.txt", "var/lib/dpkg/status", "data/blobs/x",
		"root/.azure/token", "root/.config/gh/hosts.yml", "root/.config/containers/auth.json", "root/.config/containers/policy.json",
		"root/.npmrc", "root/.vault-token", "root/.profile", "home/ann/.kube/config", "home/ann/.config/htop/htoprc", "home/bob/.netrc",
	} {
		path := filepath.Join(root, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"/data/", "/etc/letsencrypt/", "/home/ann/.kube/", "/home/bob/.netrc", "/root/.azure/", "/root/.config/containers/auth.json",
		"/root/.config/gh/", "/root/.npmrc", "/root/.vault-token", "/var/lib/cloud/",
	}
	if got := hostHidden(root, []string{"/data", "/data/blobs", "/none"}); !slices.Equal(got, want) {
		t.Errorf("hidden:\n%q\nwant\n%q", got, want)
	}
}
