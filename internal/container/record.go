// Package container holds the record of one container and the moves it may
// make. A record is what the engine stores, one transaction a change; nothing
// in it is derived from a live process but State.Pid.
package container

import (
	"slices"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/opencontainers/go-digest"
)

// Record is everything the engine remembers of one container.
type Record struct {
	ID      string    `json:"id"`   // 64 hex
	Name    string    `json:"name"` // without the leading slash
	Created time.Time `json:"created"`

	Image   string        `json:"image"`   // the reference as the user gave it
	ImageID digest.Digest `json:"imageId"` // the image's ID, "" for the image "host"

	// Config is the user's, merged with the image's.
	Config     *container.Config     `json:"config"`
	HostConfig *container.HostConfig `json:"hostConfig"`
	Mounts     []Mount               `json:"mounts,omitempty"`
	// NextMounts take the place of Mounts at the next start; nil: they stay.
	NextMounts []Mount `json:"nextMounts,omitzero"`

	// LogDriver is that of the log if HostConfig shows another; else "".
	LogDriver string `json:"logDriver,omitempty"`

	// Networks are in the order of their links inside.
	Networks []Attachment `json:"networks"`

	State        State `json:"state"`
	RestartCount int   `json:"restartCount,omitempty"`

	// StoppedByUser keeps "unless-stopped" and "always" from restarting it.
	StoppedByUser bool `json:"stoppedByUser,omitempty"`
}

// State is where in its life a container is.
type State struct {
	Status     Status    `json:"status"`
	Pid        int       `json:"pid,omitempty"`
	ExitCode   int       `json:"exitCode"`        // -1 with Error set: not known
	Error      string    `json:"error,omitempty"` // why it did not start, or why the code is unknown
	OOMKilled  bool      `json:"oomKilled,omitempty"`
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
	CgroupPath string    `json:"cgroupPath,omitempty"`
}

// Mount is one resolved mount of a container besides its root filesystem.
type Mount struct {
	Type        mount.Type        `json:"type"`             // bind, volume, tmpfs, image
	Name        string            `json:"name,omitempty"`   // of a volume, or an image as the user named it
	Source      string            `json:"source,omitempty"` // path on the host
	Destination string            `json:"destination"`
	Mode        string            `json:"mode,omitempty"` // as given with -v
	RW          bool              `json:"rw"`
	Propagation mount.Propagation `json:"propagation,omitempty"`
	Driver      string            `json:"driver,omitempty"`
	// Anonymous volumes go with the container (rm -v, --rm).
	Anonymous bool `json:"anonymous,omitempty"`
	// NoCopy leaves an empty volume empty; otherwise it gets what the image has
	// at the destination.
	NoCopy bool                `json:"noCopy,omitempty"`
	Tmpfs  *mount.TmpfsOptions `json:"tmpfs,omitempty"`
	Bind   *mount.BindOptions  `json:"bind,omitempty"`
	// IDMap of a bind says whose the source's owner's files are in the container:
	// match-user (the container's own user), match-user:USER, or userns.
	IDMap string `json:"idMap,omitempty"`
	// Foreign is a volume whose files are another's, as those of a bind are: they
	// are not seen through the ID map of a user namespace.
	Foreign bool `json:"foreign,omitempty"`
	// Subpath of a volume or an image is what is mounted of it.
	Subpath string `json:"subpath,omitempty"`
	// ImageID and Layers are of an image: which, and under what key it is stacked.
	ImageID digest.Digest `json:"imageId,omitempty"`
	Layers  string        `json:"layers,omitempty"`
}

// AllMounts are those of now and those of the next start.
func (r *Record) AllMounts() []Mount { return slices.Concat(r.Mounts, r.NextMounts) }

// Clone returns a copy to change and publish in r's place. What it points to
// stays shared, so it must be replaced, never written to.
func (r *Record) Clone() *Record {
	c := *r
	return &c
}
