package storage

import (
	"context"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/runtime/passwd"
)

// Groups looks names up in a container's own /etc/group.
func (s *Store) Groups(ctx context.Context, id string) func(name string) (uint32, error) {
	return func(name string) (uint32, error) {
		file, err := s.file(ctx, id, "etc/group")
		if err != nil {
			return 0, err
		}
		u, err := passwd.Lookup("0:"+name, nil, file)
		if err != nil {
			return 0, errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
		return u.GID, nil
	}
}
