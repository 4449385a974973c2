// Package volume keeps named directories that outlive containers.
//
// A volume is <root>/<name>/_data with <root>/<name>/volume.json beside it;
// the only driver is "local". One with the options type and device is a
// filesystem that is mounted at _data from the first use by a container that
// runs to the last. Who uses a volume is in memory, told by the engine from its
// records; what is mounted is seen in the kernel, so it outlives the engine. A crash leaves at most an empty volume that was not
// written down yet, or a directory ".removing-…"; Open takes both away. A
// directory with data but without a readable volume.json stays, as a volume
// without labels.
package volume

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/atomicfile"
	"github.com/berth-containers/berth/internal/sys/quota"
)

// Driver is the name of the only driver.
const Driver = "local"

const removing = ".removing-"

// AnonymousLabel marks a volume that was made for one container, as in Docker.
const AnonymousLabel = "com.docker.volume.anonymous"

// Volume is one volume.
type Volume struct {
	Name    string            `json:"name"`
	Created time.Time         `json:"created"`
	Labels  map[string]string `json:"labels,omitempty"`
	Options map[string]string `json:"options,omitempty"` // of the driver
	// Path is the directory of its files.
	Path string `json:"-"`
}

// Store is the volumes of one engine.
type Store struct {
	root string
	log  *slog.Logger

	mu      sync.Mutex // held over a mkdir and a small write: names must not race
	volumes map[string]Volume
	users   map[string]map[string]bool // volume → containers
	holders map[string]map[string]bool // mounted volume → who uses its files
	turns   map[string]*turn           // mounts and unmounts, one at a time of a volume
}

// Request is a volume to make.
type Request struct {
	Name            string // "" makes an anonymous one
	Driver          string // "" is local
	Options, Labels map[string]string
}

// Open reads the volumes below root.
func Open(root string, log *slog.Logger) (*Store, error) {
	if err := os.MkdirAll(root, 0o711); err != nil {
		return nil, fmt.Errorf("make the volumes' directory: %w", err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("read the volumes: %w", err)
	}
	s := &Store{root: root, log: log, volumes: map[string]Volume{}, users: map[string]map[string]bool{}, holders: map[string]map[string]bool{}, turns: map[string]*turn{}}
	for _, e := range entries {
		s.adopt(e)
	}
	return s, nil
}

func (s *Store) adopt(e fs.DirEntry) {
	dir := filepath.Join(s.root, e.Name())
	if strings.HasPrefix(e.Name(), removing) {
		if err := os.RemoveAll(dir); err != nil {
			s.log.Warn("remove the rest of a volume", "path", dir, "error", err)
		}
		return
	}
	if !e.IsDir() || CheckName(e.Name()) != nil {
		return
	}
	v := Volume{Name: e.Name(), Path: filepath.Join(dir, "_data")}
	err := s.read(dir, &v)
	if errors.Is(err, fs.ErrNotExist) && os.Remove(v.Path) == nil && os.Remove(dir) == nil {
		return
	}
	if err != nil {
		s.log.Warn("a volume's labels are lost; its data is kept", "volume", e.Name(), "error", err)
		v = Volume{Name: e.Name(), Path: filepath.Join(dir, "_data")}
		if info, err := e.Info(); err == nil {
			v.Created = info.ModTime()
		}
	}
	s.volumes[v.Name] = v
}

func (s *Store) read(dir string, v *Volume) error {
	name, path := v.Name, v.Path
	b, err := os.ReadFile(filepath.Join(dir, "volume.json"))
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	v.Name, v.Path = name, path
	return err
}

// CheckName returns InvalidArgument, in Docker's words, for a name that is none.
func CheckName(name string) error {
	if len(name) == 1 {
		return errdefs.ErrInvalidArgument.WithMessage("volume name is too short, names should be at least two alphanumeric characters")
	}
	if !regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`).MatchString(name) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%q includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path", name))
	}
	if len(name) > 255 {
		return errdefs.ErrInvalidArgument.WithMessage("a volume's name has at most 255 characters")
	}
	return nil
}

// Create makes a volume, or returns the one that has the name already.
func (s *Store) Create(r Request) (v Volume, created bool, err error) {
	if err := check(r); err != nil {
		return Volume{}, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.create(r)
}

func check(r Request) error {
	if err := CheckDriver(r.Driver); err != nil {
		return err
	}
	if err := CheckName(r.Name); err != nil {
		return err
	}
	return CheckOptions(r.Options)
}

func (s *Store) create(r Request) (v Volume, created bool, err error) {
	if v, ok := s.volumes[r.Name]; ok {
		return v, false, nil
	}
	dir := filepath.Join(s.root, r.Name)
	v = Volume{Name: r.Name, Created: time.Now().UTC(), Labels: maps.Clone(r.Labels), Options: maps.Clone(r.Options), Path: filepath.Join(dir, "_data")}
	if err := s.write(dir, v); err != nil {
		return Volume{}, false, errors.Join(fmt.Errorf("create volume %s: %w", r.Name, err), os.RemoveAll(dir))
	}
	s.volumes[r.Name] = v
	return v, true, nil
}

func (s *Store) write(dir string, v Volume) error {
	if err := os.MkdirAll(v.Path, 0o755); err != nil {
		return err
	}
	if limit, err := Size(v.Options); err != nil || limit > 0 {
		if err := errors.Join(err, quota.Set(limit, v.Path)); err != nil {
			return fmt.Errorf("quota size requested: %w", err)
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, "volume.json"), b, 0o600)
}

// Acquire makes the volume if need be and notes that the container uses it.
func (s *Store) Acquire(r Request, containerID string) (v Volume, created bool, err error) {
	if err := check(r); err != nil {
		return Volume{}, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, created, err = s.create(r)
	if err != nil {
		return v, created, err
	}
	if s.users[r.Name] == nil {
		s.users[r.Name] = map[string]bool{}
	}
	s.users[r.Name][containerID] = true
	return v, created, nil
}

// Release takes the container off the volume's users.
func (s *Store) Release(name, containerID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.users[name], containerID)
	if len(s.users[name]) == 0 {
		delete(s.users, name)
	}
}

// Get returns the volume; NotFound if there is none.
func (s *Store) Get(name string) (Volume, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.volumes[name]
	if !ok {
		return Volume{}, notFound(name)
	}
	return v, nil
}

func notFound(name string) error {
	return errdefs.ErrNotFound.WithMessage("get " + name + ": no such volume")
}

// List returns the volumes by name.
func (s *Store) List() []Volume {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.volumes), func(a, b Volume) int { return strings.Compare(a.Name, b.Name) })
}

// Users are the containers that use the volume.
func (s *Store) Users(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.users[name]))
}

// Remove takes the volume and its files away; Conflict while a container uses it.
func (s *Store) Remove(name string) error {
	unlock := s.busy(name)
	defer unlock()
	trash, err := s.drop(name)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(trash); err != nil {
		return fmt.Errorf("remove the files of volume %s: %w", name, err)
	}
	return nil
}

// drop renames the volume out of the way, so that its name is free at once.
func (s *Store) drop(name string) (trash string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.volumes[name]
	if !ok {
		return "", notFound(name)
	}
	if users := s.users[name]; len(users) > 0 {
		return "", errdefs.ErrConflict.WithMessage(fmt.Sprintf("remove %s: volume is in use - [%s]", name,
			strings.Join(slices.Sorted(maps.Keys(users)), ", ")))
	}
	// What is mounted must not be deleted with the place.
	if err := unmountFilesystem(v); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("remove volume %s: %w", name, err)
	}
	if v.Options["size"] != "" {
		if err := quota.Clear(v.Path); err != nil {
			s.log.Warn("clear a volume's quota", "volume", name, "error", err)
		}
	}
	trash, err = os.MkdirTemp(s.root, removing)
	if err != nil {
		return "", fmt.Errorf("remove volume %s: %w", name, err)
	}
	if err := os.Rename(filepath.Join(s.root, name), filepath.Join(trash, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", errors.Join(fmt.Errorf("remove volume %s: %w", name, err), os.Remove(trash))
	}
	delete(s.volumes, name)
	return trash, nil
}

// turn is who mounts, unmounts or removes a volume; the others wait for it and
// count. No other lock is held meanwhile: a server of files may not answer.
type turn struct {
	sync.Mutex
	waiting int
}

// busy takes a volume's turn and returns what ends it.
func (s *Store) busy(name string) func() {
	s.mu.Lock()
	t := s.turns[name]
	if t == nil {
		t = &turn{}
		s.turns[name] = t
	}
	t.waiting++
	s.mu.Unlock()
	t.Lock()
	return func() {
		t.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.waiting--; t.waiting == 0 {
			delete(s.turns, name)
		}
	}
}
