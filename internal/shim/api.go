// Package shim is the protocol between an engine and the shim that is the
// parent of its containers, and the client's side of it.
//
// One shim serves all containers of an engine, over a unix socket in the exec
// root. It outlives the engine: processes run on, their output goes on into
// their logs, and an exit is kept on disk until the engine says Release.
// Streams are Docker's: raw with a terminal, otherwise 8-byte-framed stdout and
// stderr (stdcopy), so the engine only copies bytes between a client and a shim.
package shim

import (
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/oci"
)

// Version is the protocol's; a shim answers any engine of the same version.
const Version = 1

// LogConfig says where a container's output is kept.
type LogConfig struct {
	Driver string            `json:"driver"` // "ring", "local", "json-file" or "none"
	Dir    string            `json:"dir"`    // made by the engine, owned by the log driver
	Opts   map[string]string `json:"opts,omitempty"`
	Attrs  map[string]string `json:"attrs,omitempty"` // of each entry of json-file
}

// StartRequest runs a container. The shim makes its stdio, creates it and lets
// it execute; when Start returns without error the program was executed.
type StartRequest struct {
	ID     string      `json:"id"`
	Bundle string      `json:"bundle"` // directory with config.json
	Spec   *specs.Spec `json:"spec"`
	Rootfs *oci.Rootfs `json:"rootfs,omitempty"`
	// OpenStdin gives the program a stdin that attached streams feed; without
	// it stdin is /dev/null. StdinOnce closes it when the first attached
	// stream with Stdin ends.
	OpenStdin bool      `json:"openStdin,omitempty"`
	StdinOnce bool      `json:"stdinOnce,omitempty"`
	Log       LogConfig `json:"log"`
}

// StartResponse tells what was started.
type StartResponse struct {
	Pid        int       `json:"pid"`
	StartedAt  time.Time `json:"startedAt"`
	CgroupPath string    `json:"cgroupPath,omitempty"`
	Warnings   []string  `json:"warnings,omitempty"`
}

// ExecRequest runs one more process in container ID. Its stdio is reached by
// Attach with the same ExecID, before or after Exec.
type ExecRequest struct {
	ID        string         `json:"id"`
	ExecID    string         `json:"execId"`
	Process   *specs.Process `json:"process"`
	OpenStdin bool           `json:"openStdin,omitempty"`
}

// MountsRequest asks for the mount namespace of a container: that of its run, or,
// with Spec, one that is made as a run's would be and lives as long as somebody
// has its descriptor. No program is executed.
type MountsRequest struct {
	ID     string      `json:"id"`
	Bundle string      `json:"bundle,omitempty"`
	Spec   *specs.Spec `json:"spec,omitempty"`
	Rootfs *oci.Rootfs `json:"rootfs,omitempty"`
}

// AttachRequest joins a stream to the stdio of a container (ExecID empty) or of
// an exec. It may come before Start or Exec: the stream then waits and misses
// no byte. The stream ends when the process has exited and all it had written
// was sent. Bytes the client sends are stdin; its half-close (CloseWrite) is
// end of input.
type AttachRequest struct {
	ID     string `json:"id"`
	ExecID string `json:"execId,omitempty"`
	Stdin  bool   `json:"stdin,omitempty"`
	Stdout bool   `json:"stdout,omitempty"`
	Stderr bool   `json:"stderr,omitempty"`
}

// Status is one container as its shim sees it.
type Status struct {
	ID         string    `json:"id"`
	Pid        int       `json:"pid"`
	StartedAt  time.Time `json:"startedAt"`
	CgroupPath string    `json:"cgroupPath,omitempty"`
	Paused     bool      `json:"paused,omitempty"`
	Exit       *Exit     `json:"exit,omitempty"` // set once it has exited; kept until Release
}

// Exit is how a process ended.
type Exit struct {
	ID     string `json:"id"`
	ExecID string `json:"execId,omitempty"` // empty: the container itself
	Pid    int    `json:"pid"`
	// Code is the exit status, 128+n for a signal, or -1 with Unknown set.
	Code int `json:"code"`
	// Unknown says why the code could not be had; empty if it is known. A code
	// is never made up.
	Unknown   string    `json:"unknown,omitempty"`
	OOMKilled bool      `json:"oomKilled,omitempty"`
	At        time.Time `json:"at"`
}
