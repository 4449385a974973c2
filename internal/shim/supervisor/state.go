package supervisor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/shim"
)

// key names a process: a container (execID empty) or an exec in it.
type key struct{ id, execID string }

func (k key) String() string {
	if k.execID == "" {
		return "container " + k.id
	}
	return "exec " + k.execID + " of container " + k.id
}

// state is what a new shim must know to take a process over.
type state struct {
	ID          string         `json:"id"`
	ExecID      string         `json:"execId,omitempty"`
	Pid         int            `json:"pid"`
	StartTicks  uint64         `json:"startTicks"` // field 22 of /proc/<pid>/stat
	StartedAt   time.Time      `json:"startedAt"`
	CgroupPath  string         `json:"cgroupPath,omitempty"`
	TTY         bool           `json:"tty,omitempty"`
	OpenStdin   bool           `json:"openStdin,omitempty"`
	StdinOnce   bool           `json:"stdinOnce,omitempty"`
	StdinClosed bool           `json:"stdinClosed,omitempty"`
	SharedPids  bool           `json:"sharedPids,omitempty"` // the end of its first process does not kill the others
	Paused      bool           `json:"paused,omitempty"`
	Running     bool           `json:"running,omitempty"` // the program was executed
	Log         shim.LogConfig `json:"log"`
}

func (s state) key() key { return key{s.ID, s.ExecID} }

// places are the paths of the files of one exec root.
type places string

func (p places) dir(id string) string { return filepath.Join(string(p), "shim", id) }

func (p places) file(k key, name string) string {
	if k.execID != "" {
		name = "exec-" + k.execID + "." + name
	}
	return filepath.Join(p.dir(k.id), name)
}

const (
	stateFile = "start.json"
	exitFile  = "exit.json"
	specFile  = "spec.json"
)

// writeJSON replaces path. The exec root is for this boot only: no fsync.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

func checkID(id string) error {
	ok := id != "" && len(id) <= 128 && id[0] != '.'
	for _, r := range id {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.-", r))
	}
	if !ok {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%q is not an ID: use letters, digits, _ . -", id))
	}
	return nil
}

func logConfig(c shim.LogConfig) logs.Config {
	return logs.Config(c)
}

// procStat is what the kernel says of a process.
type procStat struct {
	zombie     bool
	startTicks uint64
	exitCode   int // a wait status; for a zombie
}

func readStat(pid int) (procStat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, err
	}
	return parseStat(b)
}

// parseStat reads /proc/<pid>/stat, proc_pid_stat(5); the name in it may hold
// spaces and parentheses.
func parseStat(b []byte) (procStat, error) {
	_, rest, ok := bytes.Cut(b[max(0, bytes.LastIndexByte(b, ')')):], []byte(") "))
	fields := strings.Fields(string(rest))
	if !ok || len(fields) < 50 {
		return procStat{}, errors.New("parse /proc/<pid>/stat: too short")
	}
	ticks, err := strconv.ParseUint(fields[22-3], 10, 64)
	if err != nil {
		return procStat{}, fmt.Errorf("parse start time: %w", err)
	}
	code, err := strconv.Atoi(fields[52-3])
	if err != nil {
		return procStat{}, fmt.Errorf("parse exit code: %w", err)
	}
	return procStat{zombie: fields[0] == "Z" || fields[0] == "X", startTicks: ticks, exitCode: code}, nil
}
