package engine

import (
	"context"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/berth-containers/berth/internal/engine/revise"
	"github.com/berth-containers/berth/internal/filters"
	"github.com/berth-containers/berth/internal/logs"
)

// ErrNotModified: the container is already as it was asked to be.
var ErrNotModified error = errdefs.ErrNotModified

// Filters are Docker's: for each key the values that were asked for.
type Filters = filters.Filters

// CreateOptions is the request to create a container.
type CreateOptions struct {
	Name             string // "" generates one
	Config           *container.Config
	HostConfig       *container.HostConfig
	NetworkingConfig *network.NetworkingConfig
	Platform         string
}

// UpdateOptions are Docker's, and what can be changed beyond them.
type UpdateOptions struct {
	container.UpdateConfig
	revise.Changes
}

// RemoveOptions are those of rm.
type RemoveOptions struct {
	Force   bool // kill it first if it runs
	Volumes bool // its anonymous volumes too
	Link    bool // refused: links are not kept
}

// ListOptions are those of ps.
type ListOptions struct {
	All     bool
	Limit   int
	Size    bool
	Filters Filters
}

// LogsOptions are those of logs.
type LogsOptions struct {
	Since, Until   time.Time
	Tail           int // -1: everything
	Follow         bool
	Stdout, Stderr bool
	Idle           func() error // called before a follower waits; may be nil
}

// AttachOptions are those of attach.
type AttachOptions struct {
	Stream                bool // join the live stdio
	Logs                  bool // replay what is in the logs first
	Stdin, Stdout, Stderr bool
}

// Stream is a process's stdio: raw with a terminal, otherwise Docker's 8-byte
// frames. CloseWrite is the end of its input.
type Stream interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	CloseWrite() error
	Close() error
}

// Attached is a joined stdio; the caller closes Stream.
type Attached struct {
	Stream Stream // nil if nothing live was asked for
	TTY    bool
	// Replay, if not nil, yields what was written before and goes first.
	Replay func(ctx context.Context, yield func(logs.Message) error) error
}

// ExecStartOptions are those of exec start.
type ExecStartOptions struct {
	Detach      bool
	TTY         bool
	ConsoleSize *[2]uint // height, width
}

// EventsOptions choose events; a zero time is no bound.
type EventsOptions struct {
	Since, Until time.Time
	Filters      Filters
}
