package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/berth-containers/berth/internal/distribution"
	"github.com/berth-containers/berth/internal/image/depot"
	"github.com/berth-containers/berth/internal/image/install"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/errdefs"
)

// Store is the image store of one engine.
type Store struct {
	*catalogue
	copier
	install  *install.Installer
	hidden   []string
	registry *distribution.Client
	used     uses
	room     room
}

// Open opens the store, deletes what a crash left and lists the images.
func Open(ctx context.Context, o Options) (*Store, error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d, err := depot.Open(ctx, o.Root, o.Boot, log)
	if err != nil {
		return nil, err
	}
	s := &Store{
		catalogue: &catalogue{depot: d, names: metadata.NewImageStore(d.DB)},
		install:   &install.Installer{Depot: d, Limit: o.LayerLimit},
		hidden:    append([]string{o.Root}, o.Hidden...),
		registry:  distribution.New(distribution.Options{Registries: o.Registries, UserAgent: "berth"}),
	}
	s.copier = copier{examiner: examiner{catalogue: s.catalogue, unpacker: s.install}, remote: s.registry}
	if err := errors.Join(s.refresh(d.Scope(ctx)), s.sweepViews(ctx), s.used.load(d.DB)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	d.CollectLater()
	return s, nil
}

// Close waits for what runs in the background and closes the files.
func (s *Store) Close() error {
	var err error
	if v := s.view.Load(); v != nil {
		err = s.used.save(s.depot.DB, v)
	}
	err = errors.Join(err, s.depot.Close())
	s.registry.Close()
	return err
}

func noSuchImage(ref string) error {
	return errdefs.ErrNotFound.WithMessage("No such image: " + ref)
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
