package image

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// Whatever archive comes, either its images are there afterwards or nothing is.
func FuzzLoad(f *testing.F) {
	layer := archiveOf(f, reg("a", "x"))
	f.Add(dockerArchive(f, "a:1", layer))
	f.Add(dockerArchive(f, "", layer, layer))
	f.Add(archiveOf(f, reg("oci-layout", `{"imageLayoutVersion":"1.0.0"}`), reg("index.json", `{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:`+strings.Repeat("0", 64)+`"}]}`)))
	f.Add(archiveOf(f, reg("manifest.json", `[{"Config":"manifest.json","Layers":["../x"]}]`), symlink("../x", "/etc/passwd")))
	f.Add(archiveOf(f, reg("c", `{"rootfs":{"diff_ids":["x"]}}`), reg("manifest.json", `[{"Config":"c","Layers":[]}]`)))
	f.Add(archiveOf(f, reg("c", `null`), reg("manifest.json", `[{"Config":"c","Layers":null}]`)))
	s := newStore(f)
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, b []byte) {
		before, _ := s.List(ctx)
		names, err := s.Load(ctx, bytes.NewReader(b), nil)
		after, _ := s.List(ctx)
		if err != nil && len(after) != len(before) {
			t.Errorf("failed with %v and left images", err)
		}
		for _, name := range names {
			if _, err := s.Get(ctx, name); err != nil {
				t.Errorf("loaded %q: %v", name, err)
			}
		}
	})
}

func FuzzGet(f *testing.F) {
	for _, ref := range []string{"a", "host", "a@sha256:" + strings.Repeat("0", 64), "abc123", "sha256:ab", "", "A", "dangling@sha256:x"} {
		f.Add(ref)
	}
	s := newStore(f)
	f.Fuzz(func(t *testing.T, ref string) {
		if _, err := s.Get(context.Background(), ref); err != nil && !errdefs.IsNotFound(err) && !errdefs.IsInvalidArgument(err) {
			t.Errorf("Get(%q) = %v", ref, err)
		}
	})
}
