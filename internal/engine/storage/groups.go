package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/runtime/passwd"
	"github.com/berth-containers/berth/internal/snapshot"
)

// maxGroups is how much of a container's /etc/group is read.
const maxGroups = 4 << 20

// Groups looks names up in a container's own /etc/group.
func (s *Store) Groups(ctx context.Context, id string) func(name string) (uint32, error) {
	return func(name string) (uint32, error) {
		r, err := s.Layers.Rootfs(ctx, id)
		if err != nil {
			return 0, fmt.Errorf("look up group %s: %w", name, err)
		}
		layers := append([]string{r.Upper}, r.Lowers...)
		if r.Host {
			layers = []string{r.Upper, "/"}
		}
		file, err := snapshot.ReadFile(layers, "etc/group", maxGroups)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("read the container's groups: %w", err)
		}
		u, err := passwd.Lookup("0:"+name, nil, file)
		if err != nil {
			return 0, errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
		return u.GID, nil
	}
}
