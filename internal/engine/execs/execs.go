// Package execs keeps the processes that were added to containers, in memory
// only: an exec's ID is unknown to the next engine, its process runs on.
package execs

import (
	"sync"
	"time"

	api "github.com/moby/moby/api/types/container"

	"github.com/berth-containers/berth/internal/engine/names"
)

// keep is how long the exit code of an exec can be asked for.
const keep = 5 * time.Minute

// Exec is one more process of a container.
type Exec struct {
	ID, ContainerID string
	Request         api.ExecCreateRequest
	Done            chan struct{} // closed: it has ended, or did not start

	mu      sync.Mutex
	begun   bool
	running bool
	pid     int
	code    *int
	ended   time.Time
}

// Running is whether its process runs.
func (e *Exec) Running() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running
}

func (e *Exec) expired() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.ended.IsZero() && time.Since(e.ended) > keep
}

// Begin is false if it was begun before.
func (e *Exec) Begin() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.begun {
		return false
	}
	e.begun, e.running = true, true
	return true
}

// End sets the exit code once.
func (e *Exec) End(code int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.code != nil {
		return
	}
	e.running, e.code, e.ended = false, &code, time.Now()
	close(e.Done)
}

// Code is the exit code; -1 before the end.
func (e *Exec) Code() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.code == nil {
		return -1
	}
	return *e.code
}

// SetPid notes the process.
func (e *Exec) SetPid(pid int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pid = pid
}

// Inspect shows it as the API does.
func (e *Exec) Inspect() api.ExecInspectResponse {
	e.mu.Lock()
	defer e.mu.Unlock()
	q := e.Request
	return api.ExecInspectResponse{ID: e.ID, Running: e.running, ExitCode: e.code, ContainerID: e.ContainerID, Pid: e.pid,
		OpenStdin: q.AttachStdin, OpenStdout: q.AttachStdout, OpenStderr: q.AttachStderr, DetachKeys: []byte(q.DetachKeys),
		ProcessConfig: &api.ExecProcessConfig{Tty: q.Tty, Entrypoint: q.Cmd[0], Arguments: q.Cmd[1:], Privileged: &q.Privileged, User: q.User}}
}

// Table is every exec of the engine's life that a client may still ask for. It
// is safe for concurrent use.
type Table struct {
	mu   sync.Mutex
	byID map[string]*Exec
}

// NewTable returns an empty one.
func NewTable() *Table { return &Table{byID: map[string]*Exec{}} }

// Get returns nil if there is none.
func (t *Table) Get(id string) *Exec {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

// New makes an exec, and forgets those that nobody asks for any more.
func (t *Table) New(containerID string, q api.ExecCreateRequest) *Exec {
	e := &Exec{ID: names.NewID(), ContainerID: containerID, Request: q, Done: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, old := range t.byID {
		if old.expired() {
			delete(t.byID, id)
		}
	}
	t.byID[e.ID] = e
	return e
}

// Forget drops the execs of a container that was removed.
func (t *Table) Forget(containerID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, e := range t.byID {
		if e.ContainerID == containerID && !e.Running() {
			delete(t.byID, id)
		}
	}
}

// Drop forgets one exec.
func (t *Table) Drop(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, id)
}

// Lose ends the execs of a container whose end nobody saw.
func (t *Table) Lose(containerID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.byID {
		if e.ContainerID == containerID && e.Running() {
			e.End(-1)
		}
	}
}

// Running are the IDs of a container's execs that run.
func (t *Table) Running(containerID string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []string
	for id, e := range t.byID {
		if e.ContainerID == containerID && e.Running() {
			ids = append(ids, id)
		}
	}
	return ids
}
