// Package imageview shows images of the store as the Docker API does. It is
// pure.
package imageview

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"
	api "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/storage"

	"github.com/berth-containers/berth/internal/image"
)

// driver is the name under which clients know how layers are stacked.
const driver = "overlayfs"

// Summary is img in a list; containers is how many are made from it.
func Summary(img image.Image, containers int64) api.Summary {
	target := img.Target
	s := api.Summary{
		ID: img.ID.String(), RepoTags: list(img.Tags), RepoDigests: list(img.Digests),
		Created: unix(img.Created), Size: img.Bytes, SharedSize: -1, Containers: containers,
		Labels: map[string]string{},
	}
	if img.Config != nil && img.Config.Labels != nil {
		s.Labels = img.Config.Labels
	}
	if target.Digest != "" {
		s.Descriptor = &target
	}
	return s
}

// Inspect is everything of img.
func Inspect(img image.Image) (api.InspectResponse, error) {
	config, err := configOf(img.Config)
	if err != nil {
		return api.InspectResponse{}, err
	}
	i := api.InspectResponse{
		ID: img.ID.String(), RepoTags: list(img.Tags), RepoDigests: list(img.Digests), Author: img.Author, Config: config,
		Architecture: img.Platform.Architecture, Variant: img.Platform.Variant, Os: img.Platform.OS, OsVersion: img.Platform.OSVersion,
		Size: img.Bytes, GraphDriver: &storage.DriverData{Name: driver}, RootFS: api.RootFS{Type: "layers"},
	}
	if !img.Created.IsZero() {
		i.Created = img.Created.UTC().Format(time.RFC3339Nano)
	}
	if n := len(img.History); n > 0 {
		i.Comment = img.History[n-1].Comment
	}
	for _, d := range img.Layers {
		i.RootFS.Layers = append(i.RootFS.Layers, d.String())
	}
	if target := img.Target; target.Digest != "" {
		i.Descriptor = &target
	}
	return i, nil
}

// configOf keeps what an image says of a container's configuration: the fields
// have the same names in both.
func configOf(c *container.Config) (*dockerspec.DockerOCIImageConfig, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("show the image's configuration: %w", err)
	}
	config := &dockerspec.DockerOCIImageConfig{}
	if err := json.Unmarshal(text, config); err != nil {
		return nil, fmt.Errorf("show the image's configuration: %w", err)
	}
	return config, nil
}

// History is how img was made, the last step first. A step that made a layer has
// its size.
func History(img image.Image) []api.HistoryResponseItem {
	items := make([]api.HistoryResponseItem, 0, len(img.History))
	sizes := img.LayerBytes
	for _, h := range img.History {
		item := api.HistoryResponseItem{ID: "<missing>", CreatedBy: h.CreatedBy, Comment: h.Comment}
		if h.Created != nil {
			item.Created = unix(*h.Created)
		}
		if !h.EmptyLayer && len(sizes) > 0 {
			item.Size, sizes = sizes[0], sizes[1:]
		}
		items = append(items, item)
	}
	slices.Reverse(items)
	if len(items) == 0 {
		items = append(items, api.HistoryResponseItem{Created: unix(img.Created), Size: img.Bytes})
	}
	items[0].ID, items[0].Tags = img.ID.String(), img.Tags
	return items
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func list(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}
