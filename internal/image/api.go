// Package image keeps images: it pulls, pushes, loads, imports, names and
// removes them and stacks their layers into root filesystems.
//
// <data-root>/images is an OCI image layout at all times: blobs are as they
// came, index.json lists the names. Beside it are images.db (names, leases and
// what belongs to what), snapshots (the unpacked layers) and rootfs (the
// writable layers). A name appears only when every blob behind it is complete,
// checked and unpacked; what a crash leaves half-made is resumed or collected.
// Its blobs are on the disk then; its unpacked layers are a little later, and a
// crash of the machine before costs unpacking them again.
//
// This package is the names of images, what is known of them, and the verbs.
// Below it: depot (blobs, layers, who owns them), manifest (what an image is
// made of), install (fetch and unpack), transfer (what goes to and from a
// registry), name (references), progress.
package image

import (
	"log/slog"
	"time"

	"github.com/berth-containers/berth/internal/distribution/registries"
	"github.com/berth-containers/berth/internal/image/name"
	"github.com/berth-containers/berth/internal/image/progress"
	"github.com/moby/moby/api/types/container"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// HostName names the image that is a view of the running system.
const HostName = name.Host

// Options of a store.
type Options struct {
	// Root is the engine's data root; the store takes images, images.db,
	// snapshots and rootfs below it.
	Root string
	// Hidden are more absolute paths that a container of the image "host" must
	// not see: the engine's exec root, sockets, keys. The data root is always
	// hidden.
	Hidden []string
	// Registries is how registries are reached.
	Registries registries.Table
	// LayerLimit is how many bytes one layer may unpack to; 0 for no limit.
	LayerLimit int64
	// Boot tells this boot of the machine from others; "" is what the kernel says.
	Boot string
	Log  *slog.Logger
}

// Image is one image of the store.
type Image struct {
	// ID is the digest of the image's configuration, as Docker shows it.
	ID digest.Digest
	// Target is the manifest or index that the names point to.
	Target ocispec.Descriptor
	// Manifest is the one manifest of Target that the image was made of: that
	// of the platform that was pulled last.
	Manifest ocispec.Descriptor
	Tags     []string // familiar: busybox:latest
	Digests  []string // familiar: busybox@sha256:…
	Created  time.Time
	Bytes    int64 // of the unpacked layers, or of the blobs if not unpacked
	Platform ocispec.Platform
	// Config is what the image says about its containers, in Docker's form
	// (with Healthcheck, Shell, OnBuild).
	Config *container.Config
	Layers []digest.Digest // diff IDs
	// LayerBytes are the sizes of Layers; their sum is Bytes.
	LayerBytes []int64
	History    []ocispec.History
	Author     string
	Host       bool // it is the image "host"

	listed ocispec.Descriptor // in the layout's index.json
	packed bool               // its layers are not unpacked
}

// Credentials for a registry; the zero value is anonymous.
type Credentials struct {
	Username, Password string
	IdentityToken      string
}

// Progress is told what a pull, push or load does, and Event is one line of it.
type (
	Progress = progress.Func
	Event    = progress.Event
)

// Removed is one line of what a removal did: exactly one field is set.
type Removed struct {
	Untagged string
	Deleted  string
}
