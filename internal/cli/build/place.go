package build

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/types"
	"github.com/moby/buildkit/client/ociindex"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"

	"github.com/berth-containers/berth/internal/cli/auth"
	"github.com/berth-containers/berth/internal/cli/env"
)

// isRemote is whether the engine fetches the context itself.
func isRemote(place string) bool {
	for _, prefix := range []string{"http://", "https://", "git://", "ssh://", "git@", "github.com/"} {
		if strings.HasPrefix(place, prefix) {
			return true
		}
	}
	return false
}

// isArchive is whether a stream begins as a tar does, packed or not.
func isArchive(head []byte) bool {
	for _, magic := range []string{"\x1f\x8b\x08", "BZh", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return len(head) >= 262 && string(head[257:262]) == "ustar"
}

// layout serves an OCI layout: oci-layout://PATH[:TAG][@DIGEST].
func (p *plan) layout(key, place string) error {
	path := strings.TrimPrefix(place, "oci-layout://")
	path, digest, _ := strings.Cut(path, "@")
	tag := ""
	if i := strings.LastIndexByte(path, ':'); i > strings.LastIndexByte(path, '/') {
		path, tag = path[:i], path[i+1:]
	}
	if digest == "" {
		index := ociindex.NewStoreIndex(path)
		found, err := index.Get(tag)
		if err == nil && found == nil {
			found, err = index.GetSingle()
		}
		if err != nil {
			return fmt.Errorf("read the layout %s: %w", path, err)
		}
		if found == nil {
			return fmt.Errorf("the layout %s has no image %q: add its digest (@sha256:…)", path, tag)
		}
		digest = found.Digest.String()
	}
	store, err := local.NewStore(path)
	if err != nil {
		return fmt.Errorf("open the layout %s: %w", path, err)
	}
	id := identity.NewID()
	if p.solve.OCIStores == nil {
		p.solve.OCIStores = map[string]content.Store{}
	}
	p.solve.OCIStores[id] = store
	p.solve.FrontendAttrs[key] = "oci-layout://" + id + "@" + digest
	return nil
}

// credentials answers the engine's questions from the client's settings.
func credentials(e *env.Env) (session.Attachable, error) {
	settings, err := auth.Load(e.ConfigDir)
	if err != nil {
		return nil, err
	}
	config.SetDir(e.ConfigDir) // where the provider keeps its seed
	return authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
		AuthConfigProvider: func(ctx context.Context, host string, scopes []string, _ authprovider.ExpireCachedAuthCheck) (types.AuthConfig, error) {
			place := host
			for _, scope := range scopes {
				if parts := strings.Split(scope, ":"); len(parts) == 3 && parts[0] == "repository" {
					place = host + "/" + parts[1]
				}
			}
			a, err := settings.Lookup(ctx, place)
			return types.AuthConfig{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken, ServerAddress: a.ServerAddress}, err
		},
	}), nil
}
