package command

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/leanjson"
)

// state is what a container is known by.
type state struct {
	ID      string    `json:"id"`
	Pid     int       `json:"pid"`
	Started string    `json:"startTime"` // of the process, in clock ticks: tells a reused pid
	Bundle  string    `json:"bundle"`
	Created time.Time `json:"created"`
	Cgroup  string    `json:"cgroup"`

	Spec *specs.Spec `json:"spec"`
	dir  string
}

// shown is the state as the OCI specification and runc's list have it.
type shown struct {
	specs.State
	Rootfs  string    `json:"rootfs"`
	Created time.Time `json:"created"`
	Owner   string    `json:"owner"`
}

// validID is whether id can name a directory.
func validID(id string) bool {
	for _, c := range []byte(id) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("_+.-", rune(c)) {
			return false
		}
	}
	return id != "" && id != "." && id != ".."
}

func (e *env) dir(id string) (string, error) {
	if !validID(id) {
		return "", fmt.Errorf("invalid container ID %q: use letters, digits and any of _ + - . only", id)
	}
	return filepath.Join(e.root, id), nil
}

// load reads a container's state.
func (e *env) load(id string) (*state, error) {
	dir, err := e.dir(id)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("container %s does not exist: %w", id, os.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	s := &state{dir: dir}
	if err := leanjson.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("read the state of %s (delete --force takes it away): %w", id, err)
	}
	return s, nil
}

func (s *state) save() error {
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

func (s *state) socket() string { return filepath.Join(s.dir, "start.sock") }
func (s *state) paused() string { return filepath.Join(s.dir, "paused") }

// status asks the kernel: a process that ended, or whose number another one
// has, is stopped.
func (s *state) status() specs.ContainerState {
	started, running := startTime(s.Pid)
	switch {
	case !running || started != s.Started:
		return specs.StateStopped
	case exists(s.socket()):
		return specs.StateCreated
	case exists(s.paused()):
		return "paused"
	}
	return specs.StateRunning
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (s *state) show() shown {
	status := s.status()
	pid := s.Pid
	if status == specs.StateStopped {
		pid = 0
	}
	rootfs := ""
	if s.Spec.Root != nil {
		rootfs = s.Spec.Root.Path
		if !filepath.IsAbs(rootfs) {
			rootfs = filepath.Join(s.Bundle, rootfs)
		}
	}
	return shown{State: specs.State{Version: specs.Version, ID: s.ID, Status: status, Pid: pid, Bundle: s.Bundle,
		Annotations: s.Spec.Annotations}, Rootfs: rootfs, Created: s.Created, Owner: "root"}
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

func readSpec(bundle string) (*specs.Spec, error) {
	b, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is not a bundle: it has no config.json; berth-runtime spec makes one", bundle)
	}
	if err != nil {
		return nil, err
	}
	spec := &specs.Spec{}
	if err := leanjson.Unmarshal(b, spec); err != nil {
		return nil, fmt.Errorf("read %s/config.json: %w", bundle, err)
	}
	return spec, nil
}
