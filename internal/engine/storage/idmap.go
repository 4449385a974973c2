package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/runtime/passwd"
	"github.com/berth-containers/berth/internal/snapshot"
	"github.com/berth-containers/berth/internal/spec"
	"github.com/berth-containers/berth/internal/sys/userns"
)

// mapBinds completes the specification's input by the maps of binds whose owner
// is to be a user of the container: the two exchange their IDs, all others stay.
// In a user namespace the owner's IDs are the only ones that there are.
func (s *Store) mapBinds(ctx context.Context, r *container.Record, in *spec.Input) error {
	for _, m := range r.Mounts {
		name, ok := strings.CutPrefix(m.IDMap, "match-user")
		if !ok {
			continue
		}
		user, err := s.user(ctx, r, cmp.Or(strings.TrimPrefix(name, ":"), r.Config.User))
		if err != nil {
			return fmt.Errorf("map the IDs of %s: %w", m.Source, err)
		}
		var owner syscall.Stat_t
		if err := syscall.Stat(m.Source, &owner); err != nil {
			return &fs.PathError{Op: "map the IDs of", Path: m.Source, Err: err}
		}
		ids := userns.Map{UIDs: userns.Exchange(owner.Uid, user.UID), GIDs: userns.Exchange(owner.Gid, user.GID)}
		if len(in.Users.UIDs) > 0 && !r.HostConfig.UsernsMode.IsHost() {
			uid, gid := in.Users.Outside(user.UID, user.GID)
			ids = userns.Map{UIDs: []userns.Range{{Inside: owner.Uid, Outside: uint32(uid), Count: 1}}, GIDs: []userns.Range{{Inside: owner.Gid, Outside: uint32(gid), Count: 1}}}
		}
		if in.IDMaps == nil {
			in.IDMaps = map[string]userns.Map{}
		}
		in.IDMaps[m.Destination] = ids
	}
	return nil
}

// user looks user[:group] up in the container's own files.
func (s *Store) user(ctx context.Context, r *container.Record, name string) (passwd.User, error) {
	users, err := s.file(ctx, r.ID, "etc/passwd")
	if err != nil {
		return passwd.User{}, err
	}
	groups, err := s.file(ctx, r.ID, "etc/group")
	if err != nil {
		return passwd.User{}, err
	}
	u, err := passwd.Lookup(name, users, groups)
	if err != nil {
		return u, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return u, nil
}

// maxFile is how much of a container's file is read.
const maxFile = 4 << 20

// file is what a container's file holds, as its layers have it; nothing if there
// is none.
func (s *Store) file(ctx context.Context, id, name string) ([]byte, error) {
	r, err := s.Layers.Rootfs(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("find the container's /%s: %w", name, err)
	}
	layers := append([]string{r.Upper}, r.Lowers...)
	if r.Host {
		layers = []string{r.Upper, "/"}
	}
	text, err := snapshot.ReadFile(layers, name, maxFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the container's /%s: %w", name, err)
	}
	return text, nil
}
