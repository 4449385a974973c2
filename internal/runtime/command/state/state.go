// Package state keeps what a container is known by between two commands of the
// runtime, one directory for each container:
//
//	unit         a link that names systemd's unit of the container, if it has one
//	cgroup       a link that names the container's cgroup, there before all else
//	root         a link to the number of the mount that the root is of, if the
//	             container's own mounts are to be taken away from there
//	state.json   what start, state, kill and delete need; written atomically
//	config.json  the bundle's, as it was at create
//	start.sock   the init waits behind it; gone after the start
//	paused       the container is paused
//
// What a crash at any step of create leaves behind is in the cgroup, or waits at
// the socket: delete finds it by the directory, with or without a state.
package state

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/leanjson"
)

// format is that of state.json: one of another release is refused.
const format = 2

// Store is the directory of all states.
type Store struct{ Root string }

// State is what one container is known by.
type State struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"`
	Process Process   `json:"process"` // the container's first
	Creator *Process  `json:"creator"` // the runtime, while it runs hooks of create
	Bundle  string    `json:"bundle"`
	Rootfs  string    `json:"rootfs"`
	Created time.Time `json:"created"`
	Cgroup  string    `json:"cgroup"`
	Unit    string    `json:"unit,omitempty"` // systemd's; empty if the cgroup is ours

	Annotations map[string]string `json:"annotations,omitempty"`
	Poststart   []specs.Hook      `json:"poststart,omitempty"`
	Poststop    []specs.Hook      `json:"poststop,omitempty"`

	dir string
}

// Process is one process for ever: its number may be another's later.
type Process struct {
	Pid     int    `json:"pid"`
	Started string `json:"started"` // in clock ticks since the boot
}

// ProcessOf is the running process of a number.
func ProcessOf(pid int) Process {
	started, _ := startTime(pid)
	return Process{pid, started}
}

// Runs is whether the process is there and not a zombie.
func (p Process) Runs() bool {
	started, ok := startTime(p.Pid)
	return p.Pid != 0 && ok && started == p.Started
}

// validID is whether id can name a directory.
func validID(id string) bool {
	for _, c := range []byte(id) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("_+.-", rune(c)) {
			return false
		}
	}
	return id != "" && id != "." && id != ".." && len(id) <= 255
}

// Dir is the directory of a container.
func (s Store) Dir(id string) (string, error) {
	if !validID(id) {
		return "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid container ID %q: use letters, digits and any of _ + - . only, at most 255", id))
	}
	return filepath.Join(s.Root, id), nil
}

// Take makes the directory of a new container. An ID in use is an AlreadyExists.
func (s Store) Take(st *State) error {
	dir, err := s.Dir(st.ID)
	if err != nil {
		return err
	}
	err = os.Mkdir(dir, 0o700)
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(s.Root, 0o700); err == nil {
			err = os.Mkdir(dir, 0o700)
		}
	}
	if errors.Is(err, os.ErrExist) {
		return errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("container with given ID already exists: %s; delete it first", st.ID))
	}
	if err != nil {
		return err
	}
	st.dir, st.Format = dir, format
	return nil
}

// Claim says that the cgroup is the container's to remove. It comes after Take
// and before there is a cgroup.
func (s *State) Claim() error {
	if s.Unit != "" {
		if err := os.Symlink(s.Unit, filepath.Join(s.dir, "unit")); err != nil {
			return err
		}
	}
	return os.Symlink(s.Cgroup, filepath.Join(s.dir, "cgroup"))
}

// Cover says that mounts on the root are the container's to remove; before is the
// mount that the root is of without them. It comes before they do.
func (s *State) Cover(before uint64) error {
	return os.Symlink(strconv.FormatUint(before, 10)+":"+s.Rootfs, filepath.Join(s.dir, "root"))
}

// Covered is what Cover was told; false if it was not.
func (s *State) Covered() (rootfs string, before uint64, ok bool) {
	link, err := os.Readlink(filepath.Join(s.dir, "root"))
	if err != nil {
		return "", 0, false
	}
	number, rootfs, _ := strings.Cut(link, ":")
	before, err = strconv.ParseUint(number, 10, 64)
	return rootfs, before, err == nil
}

// Load reads a container's state. There is none: NotFound; one that cannot be
// read: FailedPrecondition.
func (s Store) Load(id string) (*State, error) {
	dir, err := s.Dir(id)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "state.json")
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist) && exists(dir):
		return nil, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("container %s was not created in full; delete --force takes away what is left", id))
	case errors.Is(err, os.ErrNotExist):
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("container %s does not exist", id))
	case err != nil:
		return nil, err
	}
	st := &State{dir: dir}
	if err := leanjson.Unmarshal(b, st); err != nil {
		return nil, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("read %s: %v; delete --force takes the container away", path, err))
	}
	if st.Format != format {
		return nil, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"read %s: format %d is of another release of berth-runtime, which has %d; delete --force takes the container away", path, st.Format, format))
	}
	return st, nil
}

// Torn is what can be told of a container whose state cannot be read.
func (s Store) Torn(id string) (*State, error) {
	dir, err := s.Dir(id)
	if err != nil {
		return nil, err
	}
	st := &State{ID: id, dir: dir}
	for name, to := range map[string]*string{"cgroup": &st.Cgroup, "unit": &st.Unit} {
		if *to, err = os.Readlink(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return st, nil
}

// IDs are those of all containers, also of the torn.
func (s Store) IDs() ([]string, error) {
	list, err := os.ReadDir(s.Root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var ids []string
	for _, e := range list {
		if e.IsDir() && validID(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	return ids, err
}

// SaveConfig keeps the bundle's configuration.
func (s *State) SaveConfig(text []byte) error {
	return os.WriteFile(filepath.Join(s.dir, "config.json"), text, 0o600)
}

// Save writes the state; a reader sees the former or this one.
func (s *State) Save() error {
	b, err := leanjson.Marshal(s)
	if err != nil {
		return err
	}
	tmp := filepath.Join(s.dir, ".state.json")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(s.dir, "state.json"))
}

// Remove makes the ID free.
func (s *State) Remove() error { return os.RemoveAll(s.dir) }

// Config is the container's specification.
func (s *State) Config() (*specs.Spec, error) {
	path := filepath.Join(s.dir, "config.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	spec := &specs.Spec{}
	if err := leanjson.Unmarshal(b, spec); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if spec.Linux == nil {
		spec.Linux = &specs.Linux{}
	}
	return spec, nil
}

// Socket is where the init waits for the start.
func (s *State) Socket() string { return filepath.Join(s.dir, "start.sock") }

func (s *State) paused() string { return filepath.Join(s.dir, "paused") }

// SetPaused keeps whether the container is paused.
func (s *State) SetPaused(on bool) error {
	if on {
		return os.WriteFile(s.paused(), nil, 0o600)
	}
	return os.Remove(s.paused())
}

// Status asks the kernel: a container whose process ended is stopped.
func (s *State) Status() specs.ContainerState {
	switch {
	case !s.Process.Runs():
		return specs.StateStopped
	case s.Creator != nil:
		return specs.StateCreating
	case exists(s.Socket()):
		return specs.StateCreated
	case exists(s.paused()):
		return Paused
	}
	return specs.StateRunning
}

// Paused is a status of runc's, beside those of the specification.
const Paused specs.ContainerState = "paused"

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Shown is the state as the OCI specification and runc's list have it.
type Shown struct {
	Version     string               `json:"ociVersion"`
	ID          string               `json:"id"`
	Pid         int                  `json:"pid"`
	Status      specs.ContainerState `json:"status"`
	Bundle      string               `json:"bundle"`
	Rootfs      string               `json:"rootfs"`
	Created     time.Time            `json:"created"`
	Annotations map[string]string    `json:"annotations,omitempty"`
	Owner       string               `json:"owner"`
}

// Show asks the kernel and tells it all.
func (s *State) Show() Shown {
	v := Shown{Version: specs.Version, ID: s.ID, Pid: s.Process.Pid, Status: s.Status(), Bundle: s.Bundle, Rootfs: s.Rootfs,
		Created: s.Created, Annotations: s.Annotations, Owner: owner(s.dir)}
	if v.Status == specs.StateStopped {
		v.Pid = 0
	}
	return v
}

// startTime is field 22 of /proc/PID/stat; false if the process has ended.
func startTime(pid int) (string, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", false
	}
	// The command's name may hold anything but is followed by the last bracket.
	i := bytes.LastIndexByte(b, ')')
	f := bytes.Fields(b[i+1:])
	if i < 0 || len(f) < 20 || f[0][0] == 'Z' || f[0][0] == 'X' {
		return "", false
	}
	return string(f[19]), true
}
