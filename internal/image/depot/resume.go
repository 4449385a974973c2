package depot

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
)

const (
	resumeLabel = "resume" // of the leases of what pulls that broke off have fetched
	// resumeTime is how long it is kept, as parts of blobs are.
	resumeTime = 24 * time.Hour
)

// Keep makes the whole blobs that the lease of ctx owns stay for a day, or
// until Resumed, so that a pull that broke off goes on where it was.
func (s *Depot) Keep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), CleanTime)
	defer cancel()
	id, ok := leases.FromContext(ctx)
	if !ok {
		return nil
	}
	fetched, err := s.leases.ListResources(ctx, leases.Lease{ID: id})
	if err != nil {
		return fmt.Errorf("list what was fetched: %w", err)
	}
	l, err := s.leases.Create(ctx, leases.WithRandomID(), leases.WithLabel(leaseLabel, resumeLabel), leases.WithExpiration(resumeTime))
	if err != nil {
		return fmt.Errorf("keep what was fetched: %w", err)
	}
	for _, r := range fetched {
		if r.Type != "content" {
			continue
		}
		if err := s.leases.AddResource(ctx, l, r); err != nil {
			return fmt.Errorf("keep %s: %w", r.ID, err)
		}
	}
	return nil
}

// Resumed lets go of what Keep kept: a pull has come to its end.
func (s *Depot) Resumed(ctx context.Context) error {
	kept, err := s.leases.List(ctx, `labels."`+leaseLabel+`"==`+resumeLabel)
	if err != nil {
		return fmt.Errorf("list what was kept: %w", err)
	}
	for _, l := range kept {
		if err := s.leases.Delete(ctx, l); err != nil {
			return fmt.Errorf("release what was kept: %w", err)
		}
	}
	if len(kept) > 0 {
		s.CollectLater()
	}
	return nil
}
