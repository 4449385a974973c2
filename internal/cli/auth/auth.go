// Package auth reads and writes the client's settings, which are Docker's:
// config.json with the credentials of registries and a few habits.
//
// The file is replaced as a whole: a crash leaves the old one or the new one.
// Keys that Berth does not know are kept.
package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/api/types/registry"

	"github.com/berth-containers/berth/internal/atomicfile"
	"github.com/berth-containers/berth/internal/cli/name"
)

// hubServer is what the Hub's credentials are filed under.
const hubServer = "https://index.docker.io/v1/"

// helperWait bounds a credential helper, which may ask the user.
const helperWait = 2 * time.Minute

// notFound is what helpers say about what they have not.
const notFound = "credentials not found"

// Config is config.json.
type Config struct {
	DetachKeys   string
	PsFormat     string
	ImagesFormat string

	path    string
	keys    map[string]json.RawMessage
	auths   map[string]registry.AuthConfig
	store   string
	helpers map[string]string
}

// Load reads dir's config.json; none is an empty one.
func Load(dir string) (*Config, error) {
	c := &Config{path: filepath.Join(dir, "config.json"), keys: map[string]json.RawMessage{}, auths: map[string]registry.AuthConfig{}}
	b, err := os.ReadFile(c.path)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the client's settings: %w", err)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return c, nil
	}
	if err := json.Unmarshal(b, &c.keys); err != nil {
		return nil, fmt.Errorf("read the client's settings %s: %w", c.path, err)
	}
	for key, to := range map[string]any{"detachKeys": &c.DetachKeys, "psFormat": &c.PsFormat, "imagesFormat": &c.ImagesFormat,
		"auths": &c.auths, "credsStore": &c.store, "credHelpers": &c.helpers} {
		if raw, ok := c.keys[key]; ok {
			if err := json.Unmarshal(raw, to); err != nil {
				return nil, fmt.Errorf("read the client's settings %s: %s: %w", c.path, key, err)
			}
		}
	}
	if c.auths == nil {
		c.auths = map[string]registry.AuthConfig{}
	}
	return c, nil
}

// Server is what a registry's credentials are filed under.
func Server(host string) string {
	host = hostOf(host)
	switch host {
	case "", name.Hub, "index.docker.io", "registry-1.docker.io":
		return hubServer
	}
	return host
}

func hostOf(server string) string {
	_, rest, ok := strings.Cut(server, "://")
	if !ok {
		rest = server
	}
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// Lookup returns the credentials for a registry, or for a repository of it
// (HOST/PATH): those that are filed under the longest part of its name. None
// is the zero value.
func (c *Config) Lookup(ctx context.Context, place string) (registry.AuthConfig, error) {
	host, path, _ := strings.Cut(place, "/")
	server := Server(host)
	if helper := c.helper(host); helper != "" {
		return ask(ctx, helper, server)
	}
	best, found := "", -1
	for key := range c.auths {
		if rank := rank(key, server, path); rank > found || rank == found && rank >= 0 && key < best {
			best, found = key, rank
		}
	}
	if found < 0 {
		return registry.AuthConfig{}, nil
	}
	a := c.auths[best]
	if a.Auth != "" {
		user, password, err := decode(a.Auth)
		if err != nil {
			return a, fmt.Errorf("read the credentials of %s in %s: %w", best, c.path, err)
		}
		a.Username, a.Password, a.Auth = user, password, ""
	}
	a.ServerAddress = server
	return a, nil
}

// rank says how well a key of the file fits a repository: -1 not at all, 0 as
// an address of the registry, 1 as the registry's own name, more the longer the
// part of the path is that it names.
func rank(key, server, path string) int {
	if key == server {
		return 1
	}
	if Server(key) != server {
		return -1
	}
	if strings.Contains(key, "://") { // an address: https://HOST/v1/
		return 0
	}
	_, of, _ := strings.Cut(strings.TrimSuffix(key, "/"), "/")
	switch {
	case of == "", of == "v1", of == "v2":
		return 0
	case path == of, strings.HasPrefix(path, of+"/"):
		return 1 + len(of)
	}
	return -1
}

func (c *Config) helper(host string) string {
	if h := c.helpers[host]; h != "" {
		return h
	}
	if h := c.helpers[Server(host)]; h != "" {
		return h
	}
	return c.store
}

func decode(auth string) (user, password string, err error) {
	b, err := base64.StdEncoding.DecodeString(auth)
	if err != nil {
		return "", "", err
	}
	user, password, ok := strings.Cut(string(b), ":")
	if !ok || user == "" {
		return "", "", errors.New("no user:password")
	}
	return user, strings.Trim(password, "\x00"), nil
}

// Store files credentials, in plain sight unless a helper keeps them; plain
// tells which.
func (c *Config) Store(ctx context.Context, host string, a registry.AuthConfig) (plain bool, err error) {
	server := Server(host)
	if helper := c.helper(hostOf(host)); helper != "" {
		secret := map[string]string{"ServerURL": server, "Username": a.Username, "Secret": a.Password}
		if a.IdentityToken != "" {
			secret["Username"], secret["Secret"] = "<token>", a.IdentityToken
		}
		in, err := json.Marshal(secret)
		if err != nil {
			return false, err
		}
		_, err = run(ctx, helper, "store", in)
		return false, err
	}
	a.Auth = base64.StdEncoding.EncodeToString([]byte(a.Username + ":" + a.Password))
	c.auths[server] = registry.AuthConfig{Auth: a.Auth, IdentityToken: a.IdentityToken}
	return true, c.save()
}

// Erase forgets a registry's credentials and reports whether there were any.
// Those of parts of it stay.
func (c *Config) Erase(ctx context.Context, host string) (bool, error) {
	server := Server(host)
	found := false
	if helper := c.helper(hostOf(host)); helper != "" {
		_, err := run(ctx, helper, "erase", []byte(server))
		if err != nil && !strings.Contains(err.Error(), notFound) {
			return false, err
		}
		found = err == nil
	}
	filed := false
	for key := range c.auths {
		if rank(key, server, "") >= 0 {
			delete(c.auths, key)
			filed = true
		}
	}
	if !filed {
		return found, nil
	}
	return true, c.save()
}

func (c *Config) save() error {
	raw, err := json.Marshal(c.auths)
	if err != nil {
		return err
	}
	c.keys["auths"] = raw
	b, err := json.MarshalIndent(c.keys, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return fmt.Errorf("write the client's settings: %w", err)
	}
	if err := atomicfile.Write(c.path, b, 0o600); err != nil {
		return fmt.Errorf("write the client's settings: %w", err)
	}
	return nil
}

// Path is the file.
func (c *Config) Path() string { return c.path }

// Header is the value of X-Registry-Auth; "" without credentials.
func Header(a registry.AuthConfig) (string, error) {
	if a == (registry.AuthConfig{}) {
		return "", nil
	}
	b, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	return base64.URLEncoding.EncodeToString(b), nil
}

func ask(ctx context.Context, helper, server string) (registry.AuthConfig, error) {
	out, err := run(ctx, helper, "get", []byte(server))
	if err != nil {
		if strings.Contains(err.Error(), notFound) {
			err = nil
		}
		return registry.AuthConfig{}, err
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out, &answer); err != nil {
		return registry.AuthConfig{}, fmt.Errorf("read the answer of docker-credential-%s: %w", helper, err)
	}
	a := registry.AuthConfig{ServerAddress: server, Username: answer.Username, Password: answer.Secret}
	if answer.Username == "<token>" {
		a.Username, a.Password, a.IdentityToken = "", "", answer.Secret
	}
	return a, nil
}

func run(ctx context.Context, helper, verb string, in []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, helperWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker-credential-"+helper, verb)
	cmd.Stdin = bytes.NewReader(in)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(out.String())
		if said == "" {
			said = err.Error()
		}
		return nil, fmt.Errorf("docker-credential-%s %s: %s", helper, verb, said)
	}
	return out.Bytes(), nil
}
