package depot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

const (
	resumeLabel = "resume" // of the leases of what pulls that broke off have fetched
	pullLabel   = "pull"   // of the leases of pulls
	forLabel    = "berth.for"
	partPrefix  = "layer-"
	// resumeTime is how long it is kept, as parts of blobs are.
	resumeTime = 24 * time.Hour
)

// resumption is about the leases of what is to be resumed.
type resumption struct{ *Depot }

// LeasePull is Lease for the pull of a name: a crash keeps the whole blobs that
// came, as Keep does.
func (s *Depot) LeasePull(ctx context.Context, name string) (leased context.Context, done func(error), err error) {
	return s.lease(ctx, leases.WithLabel(LeaseLabel, pullLabel), leases.WithLabel(forLabel, name))
}

// Keep makes the whole blobs that the lease of ctx owns, and those kept for the
// same name before, stay for a day, or until Resumed, so that a pull that broke
// off goes on where it was.
func (s *Depot) Keep(ctx context.Context, name string) error {
	id, ok := leases.FromContext(ctx)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), CleanTime)
	defer cancel()
	return resumption{s}.keep(ctx, leases.Lease{ID: id}, name)
}

func (s resumption) keep(ctx context.Context, from leases.Lease, name string) error {
	before, err := s.kept(ctx, name)
	if err != nil {
		return err
	}
	// A lease of its own owns nothing of what is made here but what it is given.
	ctx = s.Unleased(ctx)
	l, err := s.leases.Create(ctx, leases.WithRandomID(), leases.WithLabel(LeaseLabel, resumeLabel), leases.WithLabel(forLabel, name), leases.WithExpiration(resumeTime))
	if err != nil {
		return fmt.Errorf("keep what was fetched: %w", err)
	}
	for _, source := range append(before, from) {
		fetched, err := s.leases.ListResources(ctx, source)
		if err != nil {
			return fmt.Errorf("list what was fetched: %w", err)
		}
		for _, r := range fetched {
			if r.Type != "content" {
				continue
			}
			if err := s.leases.AddResource(ctx, l, r); err != nil {
				return fmt.Errorf("keep %s: %w", r.ID, err)
			}
		}
	}
	s.collectExpired()
	return s.release(ctx, before)
}

// collectExpired collects what is kept now when its time has come.
func (s resumption) collectExpired() { s.background.after(resumeTime+time.Minute, s.CollectLater) }

// Resumed lets go of what was kept for a name: its pull has come to its end.
// With name "" it lets go of all that was kept.
func (s *Depot) Resumed(ctx context.Context, name string) error {
	r := resumption{s}
	kept, err := r.kept(ctx, name)
	if err != nil || len(kept) == 0 {
		return err
	}
	s.CollectLater()
	return r.release(ctx, kept)
}

// Forget lets go of what was kept for other names than this one, and of the
// parts of blobs that nobody fetches now, and deletes what nobody owns.
func (s *Depot) Forget(ctx context.Context, except string) error {
	r := resumption{s}
	kept, err := r.kept(ctx, "")
	if err != nil {
		return err
	}
	kept = slices.DeleteFunc(kept, func(l leases.Lease) bool { return except != "" && l.Labels[forLabel] == except })
	if err := errors.Join(r.release(ctx, kept), r.dropParts(ctx)); err != nil {
		return err
	}
	return s.Collect(ctx)
}

// PartOf is the reference of a blob that is being fetched.
func PartOf(d digest.Digest) string { return partPrefix + d.String() }

func (s resumption) dropParts(ctx context.Context) error {
	parts, err := s.Blobs.ListStatuses(ctx, "")
	if err != nil {
		return fmt.Errorf("list partial blobs: %w", err)
	}
	for _, p := range parts {
		d, ok := strings.CutPrefix(p.Ref, partPrefix)
		if !ok {
			continue
		}
		release, _ := s.Flights.try("blob " + d)
		if release == nil {
			continue // it is being fetched
		}
		err := s.Blobs.Abort(ctx, p.Ref)
		release()
		if err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("drop partial blob %s: %w", d, err)
		}
	}
	return nil
}

func (s resumption) kept(ctx context.Context, name string) ([]leases.Lease, error) {
	all, err := s.leases.List(ctx, `labels."`+LeaseLabel+`"==`+resumeLabel)
	if err != nil {
		return nil, fmt.Errorf("list what was kept: %w", err)
	}
	var kept []leases.Lease
	for _, l := range all {
		if name == "" || l.Labels[forLabel] == name {
			kept = append(kept, l)
		}
	}
	return kept, nil
}

func (s resumption) release(ctx context.Context, list []leases.Lease) error {
	var errs []error
	for _, l := range list {
		if err := s.leases.Delete(ctx, l); err != nil {
			errs = append(errs, fmt.Errorf("delete lease: %w", err))
		}
	}
	return errors.Join(errs...)
}

// releaseWork drops the leases of what a crash interrupted. What pulls have
// fetched is kept.
func (s resumption) releaseWork(ctx context.Context) error {
	all, err := s.leases.List(ctx)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	var left []leases.Lease
	for _, l := range all {
		switch l.Labels[LeaseLabel] {
		case resumeLabel:
			s.collectExpired()
		case pullLabel:
			if err := s.keep(ctx, l, l.Labels[forLabel]); err != nil {
				return err
			}
			left = append(left, l)
		case workLabel:
			left = append(left, l)
		}
	}
	return s.release(ctx, left)
}
