package manifest

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Whatever a registry sends as an index, a manifest and a configuration, it is
// refused or usable, and what the layout lists for it can be read back.
func FuzzManifest(f *testing.F) {
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	docker := `{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"` + digest + `","size":2},` +
		`"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","digest":"` + digest + `","size":3}]}`
	f.Add(`{"manifests":[{"digest":"`+digest+`","platform":{"os":"linux","architecture":"arm64"}}]}`, docker, `{"os":"linux","rootfs":{"diff_ids":["`+digest+`"]}}`)
	f.Add(`null`, `{"layers":[{}]}`, `{"rootfs":{"diff_ids":["x"]}}`)
	f.Add(`{"manifests":null}`, `[]`, `{"config":{"Healthcheck":null},"created":"never"}`)
	f.Add(`{}`, `{"layers":[{"size":-1,"digest":"sha256:"}]}`, `{"rootfs":{"diff_ids":[""]}}`)
	ctx := context.Background()
	d, err := depot.Open(ctx, f.TempDir(), "", slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = d.Close() })
	ctx = d.Scope(ctx)
	f.Fuzz(func(t *testing.T, indexText, manifestText, configText string) {
		var index ocispec.Index
		if json.Unmarshal([]byte(indexText), &index) == nil {
			_, err := Choose(index, anyPlatform(), nil)
			if err != nil && !errdefs.IsNotFound(err) {
				t.Errorf("Choose: %v", err)
			}
			Platforms(index)
		}
		var p Image
		if json.Unmarshal([]byte(manifestText), &p.Manifest) != nil || json.Unmarshal([]byte(configText), &p.Config) != nil {
			return
		}
		p.Config.Platform()
		if err := p.Check(); err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("Check: %v", err)
			}
			return
		}
		if n := len(p.Manifest.Layers); n > 0 && !strings.HasPrefix(p.Chain(n), "sha") {
			t.Errorf("chain %q", p.Chain(n))
		}
		if p.Desc, err = d.WriteBlob(ctx, "application/vnd.docker.distribution.manifest.v2+json", []byte(manifestText)); err != nil {
			t.Fatal(err)
		}
		listed, err := writeOCI(ctx, d, &p)
		if err != nil {
			t.Fatalf("write the OCI form: %v", err)
		}
		var back ocispec.Manifest
		if err := d.ReadJSON(ctx, listed, MaxBytes, &back); err != nil || len(back.Layers) != len(p.Manifest.Layers) {
			t.Errorf("read it back: %v", err)
		}
	})
}
