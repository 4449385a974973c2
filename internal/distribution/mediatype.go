package distribution

import (
	"encoding/json"
	"mime"
	"net/http"

	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// typeOf is the type of a manifest, as the registry or, where that says nothing,
// the manifest tells; "" if neither does. Servers of files know no types.
func typeOf(h http.Header, body []byte) string {
	told, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		told = ""
	}
	switch told {
	case "", "application/json", "text/plain", "application/octet-stream", "binary/octet-stream":
	default:
		return told
	}
	var m struct {
		MediaType     string
		SchemaVersion int
		Manifests     []json.RawMessage
		Config        json.RawMessage
	}
	switch err := json.Unmarshal(body, &m); {
	case err != nil:
		return ""
	case m.MediaType != "":
		return m.MediaType
	case m.SchemaVersion == 1:
		return images.MediaTypeDockerSchema1Manifest
	case m.Manifests != nil:
		return ocispec.MediaTypeImageIndex
	case m.Config != nil:
		return ocispec.MediaTypeImageManifest
	}
	return told
}
