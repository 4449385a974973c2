package auth

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/registry"
)

func TestStoreLookupErase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	ctx := context.Background()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"theirs":{"a":1},"auths":{"https://old.example/v1/":{"auth":"dTpw"}},"detachKeys":"ctrl-x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(dir)
	if err != nil || c.DetachKeys != "ctrl-x" {
		t.Fatal(c, err)
	}
	if plain, err := c.Store(ctx, "r.example:5000", registry.AuthConfig{Username: "me", Password: "a:b"}); err != nil || !plain {
		t.Fatal(plain, err)
	}
	b, _ := os.ReadFile(c.Path())
	if !strings.Contains(string(b), `"theirs"`) || strings.Contains(string(b), "a:b") {
		t.Errorf("written: %s", b)
	}
	if info, err := os.Stat(c.Path()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if c, err = Load(dir); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{"r.example:5000": "me a:b", "old.example": "u p", "docker.io": " "} {
		a, err := c.Lookup(ctx, host)
		if err != nil || a.Username+" "+a.Password != want {
			t.Errorf("%s: %+v %v", host, a, err)
		}
	}
	if found, err := c.Erase(ctx, "r.example:5000"); err != nil || !found {
		t.Error(found, err)
	}
	if found, err := c.Erase(ctx, "r.example:5000"); err != nil || found {
		t.Error(found, err)
	}
}

func TestHelper(t *testing.T) {
	dir := t.TempDir()
	helper := "#!/bin/sh\nread s\ncase $1 in get) echo \"{\\\"Username\\\":\\\"<token>\\\",\\\"Secret\\\":\\\"$s\\\"}\";; *) echo 'credentials not found'; exit 1;; esac\n"
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-test"), []byte(helper), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"credsStore":"test"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	c, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Lookup(context.Background(), "docker.io")
	if err != nil || a.IdentityToken != hubServer {
		t.Errorf("%+v %v", a, err)
	}
	if h, err := Header(a); err != nil || h == "" {
		t.Error(h, err)
	}
	if h, err := Header(registry.AuthConfig{}); err != nil || h != "" {
		t.Error(h, err)
	}
}

func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	text := `{"auths":{"r.example":{"auth":"aG9zdDpw"},"r.example/team":{"auth":"dGVhbTpw"},"r.example/team/app":{"auth":"YXBwOnA="},
		"only.example/team":{"auth":"dGVhbTpw"},"https://old.example/v1/":{"auth":"b2xkOnA="},"token.example":{"auth":"bWU6","identitytoken":"t"},
		"broken.example":{"auth":"%"}},"credHelpers":{"helped.example":"none"}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	helper := "#!/bin/sh\necho 'credentials not found in native keychain'\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-none"), []byte(helper), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	c, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for place, want := range map[string]string{
		"r.example": "host", "r.example/other": "host", "r.example/team": "team", "r.example/teams": "host", "r.example/team/a": "team",
		"r.example/team/app": "app", "r.example/team/app/x": "app", "only.example": "", "only.example/x": "", "only.example/team/x": "team",
		"old.example/x": "old", "token.example/x": "me", "helped.example/x": "",
	} {
		a, err := c.Lookup(ctx, place)
		if err != nil || a.Username != want || (place == "token.example/x") != (a.IdentityToken == "t") {
			t.Errorf("%s: %+v, %v", place, a, err)
		}
	}
	if _, err := c.Lookup(ctx, "broken.example/x"); err == nil || !strings.Contains(err.Error(), "broken.example") {
		t.Errorf("broken: %v", err)
	}
	if found, err := c.Erase(ctx, "helped.example"); found || err != nil {
		t.Errorf("Erase = %v, %v", found, err)
	}
	if found, err := c.Erase(ctx, "r.example"); !found || err != nil {
		t.Errorf("Erase = %v, %v", found, err)
	}
	if a, err := c.Lookup(ctx, "r.example/team"); err != nil || a.Username != "team" {
		t.Errorf("what is of a part went too: %+v, %v", a, err)
	}
}

func TestBrokenFileIsNamed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config.json")
	for _, content := range []string{"{", `{"auths":5}`} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", content, err)
		}
	}
}
