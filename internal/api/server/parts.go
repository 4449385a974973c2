package server

import (
	"context"
	"io"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	imageapi "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-containers/berth/internal/engine"
	"github.com/berth-containers/berth/internal/image"
	"github.com/berth-containers/berth/internal/image/report"
	"github.com/berth-containers/berth/internal/logs"
)

// Engine is what the server needs of the engine, by groups of handlers.
type Engine interface {
	keeper
	lifecycle
	observer
	outputs
	execs
	volumes
	networks
	connector
	facts
	announcer
	usage
	pruner
	files
	meter
}

type keeper interface {
	Create(ctx context.Context, o engine.CreateOptions) (id string, warnings []string, err error)
	Rename(ctx context.Context, ref, name string) error
	Remove(ctx context.Context, ref string, o engine.RemoveOptions) error
	List(ctx context.Context, o engine.ListOptions) ([]container.Summary, error)
	Inspect(ctx context.Context, ref string, size bool) (container.InspectResponse, error)
}

type lifecycle interface {
	starter
	Pause(ctx context.Context, ref string) error
	Unpause(ctx context.Context, ref string) error
}

type starter interface {
	Start(ctx context.Context, ref string) error
	Stop(ctx context.Context, ref, signal string, timeout *int) error
	Restart(ctx context.Context, ref, signal string, timeout *int) error
	Kill(ctx context.Context, ref, signal string) error
}

type observer interface {
	Top(ctx context.Context, ref, psArgs string) (container.TopResponse, error)
	Wait(ctx context.Context, ref string, condition container.WaitCondition) (<-chan container.WaitResponse, error)
	Resize(ctx context.Context, ref string, width, height uint16) error
}

type outputs interface {
	LogsTTY(ref string) (bool, error)
	Logs(ctx context.Context, ref string, o engine.LogsOptions, yield func(logs.Message) error) error
	Attach(ctx context.Context, ref string, o engine.AttachOptions) (*engine.Attached, error)
}

type execs interface {
	ExecCreate(ctx context.Context, ref string, q container.ExecCreateRequest) (id string, err error)
	ExecStart(ctx context.Context, id string, o engine.ExecStartOptions) (*engine.Attached, error)
	ExecInspect(ctx context.Context, id string) (container.ExecInspectResponse, error)
	ExecResize(ctx context.Context, id string, width, height uint16) error
}

type volumes interface {
	VolumeCreate(ctx context.Context, q volume.CreateRequest) (volume.Volume, error)
	VolumeList(ctx context.Context, f engine.Filters) (volume.ListResponse, error)
	VolumeInspect(ctx context.Context, name string) (volume.Volume, error)
	VolumeRemove(ctx context.Context, name string, force bool) error
}

type facts interface {
	Info(ctx context.Context) (system.Info, error)
	Events(ctx context.Context, o engine.EventsOptions, yield func(events.Message) error) error
}

type networks interface {
	NetworkList(ctx context.Context, f engine.Filters) ([]network.Summary, error)
	NetworkInspect(ctx context.Context, ref string) (network.Inspect, error)
	NetworkCreate(ctx context.Context, q network.CreateRequest) (id string, err error)
	NetworkRemove(ctx context.Context, ref string) error
}

type connector interface {
	NetworkConnect(ctx context.Context, ref string, q network.ConnectRequest) error
	NetworkDisconnect(ctx context.Context, ref string, q network.DisconnectRequest) error
}

type usage interface {
	List(ctx context.Context, o engine.ListOptions) ([]container.Summary, error)
	VolumeUsage(ctx context.Context) ([]volume.Volume, error)
}

type files interface {
	StatPath(ctx context.Context, ref, path string) (container.PathStat, error)
	Archive(ctx context.Context, ref, path string, begin func(container.PathStat) (io.Writer, error)) error
	Extract(ctx context.Context, ref, path string, body io.Reader, o engine.ExtractOptions) error
	layers
}

type meter interface {
	Stats(ctx context.Context, ref string, stream, oneShot bool, yield func(container.StatsResponse) error) error
	Update(ctx context.Context, ref string, u engine.UpdateOptions) (warnings []string, err error)
}

type layers interface {
	Export(ctx context.Context, ref string, begin func() (io.Writer, error)) error
	Changes(ctx context.Context, ref string) ([]container.FilesystemChange, error)
	Commit(ctx context.Context, ref string, o engine.CommitOptions) (id string, err error)
}

type pruner interface {
	PruneContainers(ctx context.Context, f engine.Filters) (container.PruneReport, error)
	PruneVolumes(ctx context.Context, f engine.Filters, all bool) (volume.PruneReport, error)
	PruneNetworks(ctx context.Context, f engine.Filters) (network.PruneReport, error)
	PruneImages(ctx context.Context, candidates []image.Image) ([]image.Removed, error)
	ImagesPruned(reclaimed uint64)
}

type announcer interface {
	ImageEvent(action events.Action, id, name string)
	RemoveImage(ctx context.Context, ref string, force bool) ([]image.Removed, error)
}

// Images is what the server needs of the image store.
type Images interface {
	imageReader
	imageMover
	imageExaminer
	imageVerifier
	imageViews
	imageCarrier
	registries
}

type imageExaminer interface {
	Layers(ctx context.Context, ref string) (report.Tree, error)
	Raw(ctx context.Context, ref, what string) (mediaType string, b []byte, err error)
	Attestations(ctx context.Context, ref string, types []string, read bool) ([]imageapi.AttestationStatement, error)
	Diff(ctx context.Context, a, b string, tell func(report.Difference) error) error
	Flatten(ctx context.Context, ref, name string) (report.Flattened, error)
}

type imageVerifier interface {
	Verify(ctx context.Context, refs []string, tell func(report.Verified) error) error
}

type imageViews interface {
	Mount(ctx context.Context, ref, dir string) (report.Mounted, error)
	Mounts(ctx context.Context) ([]report.Mounted, error)
	Unmount(ctx context.Context, which string, force bool) (report.Mounted, error)
}

type imageCarrier interface {
	Copy(ctx context.Context, from, to image.Place, platform string, p image.Progress) (digest.Digest, error)
	Blobs(ctx context.Context, ref string) ([]report.Blob, error)
	Missing(ctx context.Context, blobs []report.Blob) ([]report.Blob, error)
	Part(ctx context.Context, ref string, blobs []report.Blob, w io.Writer) error
}

type registries interface {
	Tags(ctx context.Context, repository string, c image.Credentials) ([]string, error)
	Login(ctx context.Context, server string, c image.Credentials) error
	Search(ctx context.Context, server, term string, limit int, c image.Credentials) ([]registry.SearchResult, error)
	Remote(ctx context.Context, ref string, c image.Credentials) (ocispec.Descriptor, []ocispec.Platform, error)
}

type imageReader interface {
	Get(ctx context.Context, ref string) (image.Image, error)
	List(ctx context.Context) ([]image.Image, error)
	Tag(ctx context.Context, source, target string) error
	DiskUsage(ctx context.Context) (int64, error)
}

type imageMover interface {
	Pull(ctx context.Context, ref, platform string, c image.Credentials, p image.Progress) (image.Image, error)
	Push(ctx context.Context, ref, platform string, c image.Credentials, p image.Progress) (digest.Digest, int64, error)
	LoadFor(ctx context.Context, platform string, r io.Reader, p image.Progress) (names []string, err error)
	Save(ctx context.Context, refs []string, platform string, w io.Writer) error
	Import(ctx context.Context, r io.Reader, ref, message string, changes []string, platform string) (digest.Digest, error)
}
