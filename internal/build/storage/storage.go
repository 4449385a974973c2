// Package storage lets a builder in another process share the image store's
// depot: its blobs, layers, leases and names, by containerd's own services. What
// the builder has belongs to its leases; a crash of the builder leaves these,
// and its next start lets go of those that were of a build under way.
package storage

import (
	"context"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	leasesapi "github.com/containerd/containerd/api/services/leases/v1"
	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/containerd/v2/pkg/protobuf/types"
	"github.com/containerd/containerd/v2/plugins/services/content/contentserver"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc"

	"github.com/berth-containers/berth/internal/image/depot"
)

// Serve registers the services.
func Serve(s *grpc.Server, d depot.Shared) {
	contentapi.RegisterContentServer(s, contentserver.New(d.Blobs))
	snapshotsapi.RegisterSnapshotsServer(s, snapshotservice.FromSnapshotter(d.Layers))
	leasesapi.RegisterLeasesServer(s, &owners{depot: d, leases: d.Leases()})
}

// collectAfter lets the many leases that a build lets go of be collected at once.
const collectAfter = time.Second

// owners is the service of leases; one that goes has what it owned collected.
type owners struct {
	leasesapi.UnimplementedLeasesServer
	depot  depot.Shared
	leases leases.Manager
}

func (o *owners) Create(ctx context.Context, q *leasesapi.CreateRequest) (*leasesapi.CreateResponse, error) {
	opts := []leases.Opt{leases.WithLabels(q.Labels), leases.WithRandomID()}
	if q.ID != "" {
		opts = append(opts, leases.WithID(q.ID))
	}
	l, err := o.leases.Create(ctx, opts...)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return &leasesapi.CreateResponse{Lease: toProto(l)}, nil
}

func (o *owners) Delete(ctx context.Context, q *leasesapi.DeleteRequest) (*types.Empty, error) {
	if err := o.leases.Delete(ctx, leases.Lease{ID: q.ID}); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	if q.Sync {
		if err := o.depot.Collect(o.depot.Scope(ctx)); err != nil {
			return nil, errgrpc.ToGRPC(err)
		}
		return &types.Empty{}, nil
	}
	o.depot.CollectSoon(collectAfter)
	return &types.Empty{}, nil
}

func (o *owners) List(ctx context.Context, q *leasesapi.ListRequest) (*leasesapi.ListResponse, error) {
	list, err := o.leases.List(ctx, q.Filters...)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	answer := &leasesapi.ListResponse{}
	for _, l := range list {
		answer.Leases = append(answer.Leases, toProto(l))
	}
	return answer, nil
}

func (o *owners) AddResource(ctx context.Context, q *leasesapi.AddResourceRequest) (*types.Empty, error) {
	err := o.leases.AddResource(ctx, leases.Lease{ID: q.ID}, leases.Resource{ID: q.Resource.ID, Type: q.Resource.Type})
	return &types.Empty{}, errgrpc.ToGRPC(err)
}

func (o *owners) DeleteResource(ctx context.Context, q *leasesapi.DeleteResourceRequest) (*types.Empty, error) {
	err := o.leases.DeleteResource(ctx, leases.Lease{ID: q.ID}, leases.Resource{ID: q.Resource.ID, Type: q.Resource.Type})
	return &types.Empty{}, errgrpc.ToGRPC(err)
}

func (o *owners) ListResources(ctx context.Context, q *leasesapi.ListResourcesRequest) (*leasesapi.ListResourcesResponse, error) {
	list, err := o.leases.ListResources(ctx, leases.Lease{ID: q.ID})
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	answer := &leasesapi.ListResourcesResponse{}
	for _, r := range list {
		answer.Resources = append(answer.Resources, &leasesapi.Resource{ID: r.ID, Type: r.Type})
	}
	return answer, nil
}

func toProto(l leases.Lease) *leasesapi.Lease {
	return &leasesapi.Lease{ID: l.ID, Labels: l.Labels, CreatedAt: protobuf.ToTimestamp(l.CreatedAt)}
}
