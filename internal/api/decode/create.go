package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"

	"github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/engine/mounts"
)

// Create reads a request to create a container. The ID mapping of a bind, which
// the API's own types do not have yet, becomes an annotation.
func Create(r *http.Request) (q container.CreateRequest, err error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	if err != nil {
		return q, fmt.Errorf("read the request: %w", err)
	}
	again := r.Clone(r.Context())
	again.Body = io.NopCloser(bytes.NewReader(body))
	if err := JSON(again, &q); err != nil || !bytes.Contains(body, []byte(`"IDMapping"`)) {
		return q, err
	}
	var more struct {
		HostConfig struct {
			Mounts []struct {
				Target      string
				BindOptions struct{ IDMapping *mounts.IDMapping }
			}
		}
	}
	if err := json.Unmarshal(body, &more); err != nil {
		return q, bodyError(err)
	}
	for _, m := range more.HostConfig.Mounts {
		if m.BindOptions.IDMapping == nil {
			continue
		}
		q.HostConfig.Annotations = maps.Clone(q.HostConfig.Annotations)
		if q.HostConfig.Annotations == nil {
			q.HostConfig.Annotations = map[string]string{}
		}
		q.HostConfig.Annotations[mounts.IDMapAnnotation+m.Target] = m.BindOptions.IDMapping.Text()
	}
	return q, nil
}
