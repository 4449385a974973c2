// Package records keeps the engine's records: on disk one bbolt transaction a
// change, in memory immutable values that are swapped by pointer.
//
// Publish changes what readers see; Save makes the newest published version
// durable. Between the two the memory is ahead of the disk by the change in
// flight, never by more. Saves that come while a transaction is written share
// the next one. A record that cannot be decoded is set aside in the bucket
// "corrupt" and does not stop a start.
package records

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/berth-containers/berth/internal/boltfile"
	"github.com/berth-containers/berth/internal/container"
)

const (
	bucketContainers = "containers"
	bucketCorrupt    = "corrupt"
)

// Store is the records of one engine.
type Store struct {
	db *bbolt.DB

	mu    sync.RWMutex // never held over I/O
	byID  map[string]*entry
	names map[string]string // name → ID, also of containers being made

	queue  sync.Mutex // guards dirty
	dirty  []*change
	commit sync.Mutex // one transaction at a time
}

type entry struct {
	record *container.Record
	saved  *container.Record // what is on disk
}

// change is one record to write, or to delete if gone.
type change struct {
	id   string
	gone bool
	done bool // guarded by commit
	err  error
}

// Open opens or makes the file and reads every record. A file that is no bbolt
// database is an error that says what to do.
func Open(path string, log *slog.Logger) (*Store, error) {
	if err := boltfile.Check(path); err != nil {
		return nil, unreadable(path, err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 5 * time.Second, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, errdefs.ErrUnavailable.WithMessage(path + " is locked by another process; stop it or choose another --data-root")
	}
	if err != nil {
		return nil, unreadable(path, err)
	}
	s := &Store{db: db, byID: map[string]*entry{}, names: map[string]string{}}
	if err := s.load(path, log); err != nil {
		return nil, errors.Join(unreadable(path, err), db.Close())
	}
	return s, nil
}

func unreadable(path string, err error) error {
	return fmt.Errorf("read %s: %w; move the file away to begin without containers, or put a backup in its place", path, err)
}

func (s *Store) load(path string, log *slog.Logger) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		good, err := tx.CreateBucketIfNotExists([]byte(bucketContainers))
		if err != nil {
			return err
		}
		corrupt, err := tx.CreateBucketIfNotExists([]byte(bucketCorrupt))
		if err != nil {
			return err
		}
		var bad []string
		err = good.ForEach(func(k, v []byte) error {
			r, err := decode(string(k), v)
			if err == nil && s.names[r.Name] != "" {
				err = fmt.Errorf("its name %s belongs to %s", r.Name, s.names[r.Name])
			}
			if err != nil {
				bad = append(bad, string(k))
				log.Error("a container's record cannot be read and was set aside; remove what is left of it and create it anew",
					"container", string(k), "file", path, "bucket", bucketCorrupt, "error", err)
				return nil
			}
			s.byID[r.ID] = &entry{record: r, saved: r}
			s.names[r.Name] = r.ID
			return nil
		})
		for _, id := range bad {
			err = errors.Join(err, corrupt.Put([]byte(id), bytes.Clone(good.Get([]byte(id)))), good.Delete([]byte(id)))
		}
		return err
	})
}

func decode(id string, v []byte) (*container.Record, error) {
	var r container.Record
	if err := json.Unmarshal(v, &r); err != nil {
		return nil, err
	}
	if r.ID != id || r.Name == "" || r.Config == nil || r.HostConfig == nil || !known(r.State.Status) {
		return nil, errors.New("a field is missing or wrong")
	}
	if r.Networks == nil && !r.HostConfig.NetworkMode.IsContainer() && !r.Config.NetworkDisabled { // of before there were several
		r.Networks = []container.Attachment{{Network: string(r.HostConfig.NetworkMode)}}
	}
	return &r, nil
}

func known(s container.Status) bool {
	return slices.Contains([]container.Status{container.Created, container.Running, container.Paused,
		container.Restarting, container.Exited, container.Removing, container.Dead}, s)
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// Reserve takes a name for a container; Conflict, in Docker's words, if it is in use.
func (s *Store) Reserve(name, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if owner, ok := s.names[name]; ok && owner != id {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.", "/"+name, owner))
	}
	s.names[name] = id
	return nil
}

// Unreserve gives the name back if the container has it.
func (s *Store) Unreserve(name, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names[name] == id {
		delete(s.names, name)
	}
}

// Publish shows r to readers in place of its last version.
func (s *Store) Publish(r *container.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byID[r.ID]
	if e == nil {
		e = &entry{}
		s.byID[r.ID] = e
	}
	e.record = r
}

// Update publishes a changed copy of the newest version and returns it; nil if
// there is none. change must not block.
func (s *Store) Update(id string, change func(*container.Record)) *container.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byID[id]
	if e == nil {
		return nil
	}
	r := e.record.Clone()
	change(r)
	e.record = r
	return r
}

// Save returns when the newest published version is on disk.
func (s *Store) Save(id string) error { return s.write(&change{id: id}) }

// Delete takes the record and its name away, from the disk first.
func (s *Store) Delete(id string) error {
	if err := s.write(&change{id: id, gone: true}); err != nil {
		return err
	}
	s.Forget(id)
	return nil
}

// Drop takes the record and its name away at once. The caller calls store, which
// returns when that is on disk; what is saved after Drop is not stored before it,
// so the name is never twice on disk.
func (s *Store) Drop(id string) (store func() error) {
	c := &change{id: id, gone: true}
	s.enqueue(c)
	s.Forget(id)
	return func() error { return s.flush(c) }
}

// Forget takes a record that was never saved out of memory.
func (s *Store) Forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
	for name, owner := range s.names {
		if owner == id {
			delete(s.names, name)
		}
	}
}

// Get returns the newest version; nil if there is none.
func (s *Store) Get(id string) *container.Record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e := s.byID[id]; e != nil {
		return e.record
	}
	return nil
}

// Find returns the container with this ID, this name or this only prefix of an ID.
func (s *Store) Find(ref string) (*container.Record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e := s.byID[ref]; e != nil {
		return e.record, nil
	}
	if e := s.byID[s.names[strings.TrimPrefix(ref, "/")]]; e != nil {
		return e.record, nil
	}
	var found *container.Record
	for id, e := range s.byID {
		if ref == "" || !strings.HasPrefix(id, ref) {
			continue
		}
		if found != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage("Multiple IDs found with provided prefix: " + ref)
		}
		found = e.record
	}
	if found == nil {
		return nil, errdefs.ErrNotFound.WithMessage("No such container: " + ref)
	}
	return found, nil
}

// All returns every record, the newest container first.
func (s *Store) All() []*container.Record {
	s.mu.RLock()
	all := make([]*container.Record, 0, len(s.byID))
	for e := range maps.Values(s.byID) {
		all = append(all, e.record)
	}
	s.mu.RUnlock()
	slices.SortFunc(all, func(a, b *container.Record) int {
		if n := b.Created.Compare(a.Created); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all
}

func (s *Store) write(c *change) error {
	s.enqueue(c)
	return s.flush(c)
}

func (s *Store) enqueue(c *change) {
	s.queue.Lock()
	defer s.queue.Unlock()
	s.dirty = append(s.dirty, c)
}

// flush commits everything queued, unless the one who held the transaction
// before has done it already.
func (s *Store) flush(c *change) error {
	s.commit.Lock()
	defer s.commit.Unlock()
	if c.done {
		return c.err
	}
	s.queue.Lock()
	all := s.dirty
	s.dirty = nil
	s.queue.Unlock()
	err := s.transact(all)
	for _, c := range all {
		c.done, c.err = true, err
	}
	return err
}

func (s *Store) transact(all []*change) error {
	records, gone := s.pending(all)
	if len(records) == 0 && len(gone) == 0 {
		return nil
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketContainers))
		for id, r := range records {
			v, err := json.Marshal(r)
			if err != nil {
				return fmt.Errorf("encode the record of %s: %w", id, err)
			}
			if err := b.Put([]byte(id), v); err != nil {
				return err
			}
		}
		for id := range gone {
			if err := b.Delete([]byte(id)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store records: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range records {
		if e := s.byID[id]; e != nil {
			e.saved = r
		}
	}
	return nil
}

func (s *Store) pending(all []*change) (records map[string]*container.Record, gone map[string]bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	records, gone = map[string]*container.Record{}, map[string]bool{}
	for _, c := range all {
		if c.gone {
			gone[c.id] = true
			continue
		}
		if e := s.byID[c.id]; e != nil && e.record != e.saved {
			records[c.id] = e.record
		}
	}
	for id := range gone {
		delete(records, id)
	}
	return records, gone
}
