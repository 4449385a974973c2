package image

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-containers/berth/internal/image/name"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// writeIndex writes index.json and oci-layout. They follow from the database,
// so they are replaced by a rename but not flushed: Open writes them again.
func (s *catalogue) writeIndex(v *view) error {
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{},
	}
	for _, r := range v.records {
		if v.byName[r.Name] == nil {
			continue
		}
		d := v.known[readingOf(r).Key()].listed
		d.Annotations = map[string]string{}
		if !strings.HasPrefix(r.Name, name.Dangling) {
			text, _ := name.Familiar(r.Name)
			d.Annotations[ocispec.AnnotationRefName] = text
			d.Annotations[images.AnnotationImageName] = r.Name
		}
		index.Manifests = append(index.Manifests, d)
	}
	if err := s.replaceJSON(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}); err != nil {
		return err
	}
	return s.replaceJSON(ocispec.ImageIndexFile, index)
}

func (s *catalogue) replaceJSON(name string, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	path := filepath.Join(s.depot.Layout, name)
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	return nil
}
