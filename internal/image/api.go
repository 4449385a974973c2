// Package image keeps images: it pulls, pushes, loads, imports, names and
// removes them and stacks their layers into root filesystems.
//
// <data-root>/images is an OCI image layout at all times: blobs are as they
// came, index.json lists the names. A name appears only when every blob behind
// it is complete and checked; what a crash leaves half-made is resumed or
// collected.
package image

import (
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// HostName names the image that is a view of the running system.
const HostName = "host"

// Image is one image of the store.
type Image struct {
	// ID is the digest of the image's configuration, as Docker shows it.
	ID digest.Digest
	// Target is the manifest or index that the names point to.
	Target   ocispec.Descriptor
	Tags     []string // familiar: busybox:latest
	Digests  []string // familiar: busybox@sha256:…
	Created  time.Time
	Bytes    int64 // of the unpacked layers, or of the blobs if not unpacked
	Platform ocispec.Platform
	// Config is what the image says about its containers, in Docker's form
	// (with Healthcheck, Shell, OnBuild).
	Config  *container.Config
	Layers  []digest.Digest // diff IDs
	History []ocispec.History
	Author  string
	Host    bool // it is the image "host"
}

// Credentials for a registry; the zero value is anonymous.
type Credentials struct {
	Username, Password string
	IdentityToken      string
}

// Progress is told what a pull, push or load does; the fields are those of
// Docker's JSON stream. It must not block for long.
type Progress func(Event)

// Event is one line of progress.
type Event struct {
	ID      string // short digest of the blob, or "" for the whole
	Status  string // "Downloading", "Pull complete" …
	Current int64
	Total   int64
}

// Removed is one line of what a removal did: exactly one field is set.
type Removed struct {
	Untagged string
	Deleted  string
}
