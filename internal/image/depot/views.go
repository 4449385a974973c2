package depot

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
)

// viewLabel is the value of LeaseLabel of leases that keep what is mounted.
const viewLabel = "view"

// Views are the chains that are mounted somewhere.
type Views struct{ *Depot }

// Keep makes a chain stay until Drop, also over a restart. There is at
// most one of a place: AlreadyExists. facts are kept with it.
func (s Views) Keep(ctx context.Context, place, chain string, facts map[string]string) error {
	labels := map[string]string{LeaseLabel: viewLabel, viewLabel: place}
	maps.Copy(labels, facts)
	ctx = s.Unleased(ctx)
	l, err := s.leases.Create(ctx, leases.WithID(viewID(place)), leases.WithLabels(labels))
	if err != nil {
		return err
	}
	if chain == EmptyChain {
		return nil
	}
	return s.leases.AddResource(ctx, l, chainResource(chain))
}

// Drop lets go of what Keep kept.
func (s Views) Drop(ctx context.Context, place string) error {
	err := s.leases.Delete(s.Unleased(ctx), leases.Lease{ID: viewID(place)})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("release the layers at %s: %w", place, err)
	}
	s.CollectLater()
	return nil
}

// List lists places and what is known of them.
func (s Views) List(ctx context.Context) (map[string]map[string]string, error) {
	kept, err := s.leases.List(s.Unleased(ctx), `labels."`+LeaseLabel+`"==`+viewLabel)
	if err != nil {
		return nil, fmt.Errorf("list views: %w", err)
	}
	views := map[string]map[string]string{}
	for _, l := range kept {
		views[l.Labels[viewLabel]] = l.Labels
	}
	return views, nil
}

func viewID(place string) string { return fmt.Sprintf("view-%x", sha256.Sum256([]byte(place))) }
