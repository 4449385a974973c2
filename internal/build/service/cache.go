package service

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/moby/api/types/build"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/berth-containers/berth/internal/build/query"
	"github.com/berth-containers/berth/internal/filters"
)

// records lists the cache.
func (s *Service) records(ctx context.Context) ([]build.CacheRecord, error) {
	answer, err := s.kit.DiskUsage(ctx, &controlapi.DiskUsageRequest{})
	if err != nil {
		return nil, fmt.Errorf("measure the build cache: %w", err)
	}
	list := []build.CacheRecord{}
	for _, r := range answer.Record {
		c := build.CacheRecord{
			ID: r.ID, Parents: r.Parents, Type: r.RecordType, Description: r.Description,
			InUse: r.InUse, Shared: r.Shared, Size: r.Size, UsageCount: int(r.UsageCount),
		}
		if r.CreatedAt != nil {
			c.CreatedAt = r.CreatedAt.AsTime()
		}
		if r.LastUsedAt != nil {
			at := r.LastUsedAt.AsTime()
			c.LastUsedAt = &at
		}
		list = append(list, c)
	}
	return list, nil
}

func (s *Service) cache(w http.ResponseWriter, r *http.Request) error {
	list, err := s.records(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

// prune answers POST /build/prune.
func (s *Service) prune(w http.ResponseWriter, r *http.Request) error {
	q, err := pruneRequest(r.URL.Query(), time.Now())
	if err != nil {
		return err
	}
	var report build.CachePruneReport
	report.CachesDeleted = []string{}
	err = s.kit.Prune(q, &pruned{ctx: r.Context(), each: func(u *controlapi.UsageRecord) {
		report.CachesDeleted = append(report.CachesDeleted, u.ID)
		report.SpaceReclaimed += uint64(u.Size)
	}})
	if err != nil {
		return fmt.Errorf("prune the build cache: %w", err)
	}
	writeJSON(w, http.StatusOK, report)
	return nil
}

func pruneRequest(q url.Values, now time.Time) (*controlapi.PruneRequest, error) {
	p := &controlapi.PruneRequest{All: query.Truth(q.Get("all"))}
	for name, into := range map[string]*int64{
		"keep-storage": &p.ReservedSpace, "reserved-space": &p.ReservedSpace, "max-used-space": &p.MaxUsedSpace, "min-free-space": &p.MinFreeSpace,
	} {
		if text := q.Get(name); text != "" {
			n, err := units.FromHumanSize(text)
			if err != nil {
				return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is in bytes and needs a number, got %q", name, text))
			}
			*into = n
		}
	}
	f, err := filters.Parse(q.Get("filters"))
	if err != nil {
		return nil, err
	}
	var conditions []string
	for name, values := range f {
		switch name {
		case "until", "unused-for":
			if len(values) != 1 {
				return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("filter %q: give one duration or time", name))
			}
			until, err := filters.Until(filters.Filters{"until": values}, now)
			if err != nil {
				return nil, err
			}
			p.KeepDuration = int64(now.Sub(until))
		case "id", "parent", "type", "description", "inuse", "shared", "private":
			c, err := condition(name, slices.Collect(maps.Keys(values)))
			if err != nil {
				return nil, err
			}
			conditions = append(conditions, c)
		case "label", "label!":
		default:
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter %q: the build cache is filtered by until, id, parent, type, description, inuse, shared and private", name))
		}
	}
	slices.Sort(conditions)
	if len(conditions) > 0 {
		p.Filter = []string{strings.Join(conditions, ",")}
	}
	return p, nil
}

func condition(name string, values []string) (string, error) {
	switch {
	case len(values) > 1:
		return "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("filter %q: give one value", name))
	case len(values) == 0 || values[0] == "":
		return name, nil
	case name == "id":
		return name + "~=" + values[0], nil
	}
	return name + "==" + values[0], nil
}

// pruned is the receiver of what a prune removes.
type pruned struct {
	grpc.ServerStream
	ctx  context.Context
	each func(*controlapi.UsageRecord)
}

func (p *pruned) Context() context.Context             { return p.ctx }
func (p *pruned) SendHeader(metadata.MD) error         { return nil }
func (p *pruned) Send(r *controlapi.UsageRecord) error { p.each(r); return nil }
