package records

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"go.etcd.io/bbolt"

	"github.com/berth-containers/berth/internal/container"
)

func open(t *testing.T, path string, log *slog.Logger) *Store {
	t.Helper()
	s, err := Open(path, log)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func record(id, name string) *container.Record {
	return &container.Record{ID: id, Name: name, Config: &api.Config{}, HostConfig: &api.HostConfig{}, State: container.State{Status: container.Created}}
}

func put(t *testing.T, s *Store, id, name string) {
	t.Helper()
	if err := s.Reserve(name, id); err != nil {
		t.Fatal(err)
	}
	s.Publish(record(id, name))
	if err := s.Save(id); err != nil {
		t.Fatal(err)
	}
}

func TestDurability(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.db")
	log := slog.New(slog.DiscardHandler)
	s := open(t, path, log)
	put(t, s, "aa11", "one")
	put(t, s, "ab22", "two")
	s.Update("aa11", func(r *container.Record) { r.State.ExitCode = 5 })
	if err := s.Save("aa11"); err != nil {
		t.Fatal(err)
	}
	s.Update("ab22", func(r *container.Record) { r.State.ExitCode = 6 }) // never saved
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, log)
	if s.Get("aa11").State.ExitCode != 5 || s.Get("ab22").State.ExitCode != 0 {
		t.Fatal("what was saved is not what is read")
	}
	if err := s.Delete("aa11"); err != nil {
		t.Fatal(err)
	}
	if err := s.Reserve("one", "cc"); err != nil {
		t.Fatal("the name stays taken", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, log)
	defer s.Close()
	if s.Get("aa11") != nil || len(s.All()) != 1 {
		t.Fatal("a deleted record is back")
	}
}

func TestFind(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "engine.db"), slog.New(slog.DiscardHandler))
	defer s.Close()
	put(t, s, "aa11", "one")
	put(t, s, "ab22", "aa1") // a name that is another's prefix wins
	for ref, want := range map[string]string{"aa11": "aa11", "one": "aa11", "/one": "aa11", "ab": "ab22", "aa1": "ab22", "a": "Multiple", "x": "No such container: x", "": "No such container: "} {
		r, err := s.Find(ref)
		if err != nil && !strings.HasPrefix(err.Error(), want) || err == nil && r.ID != want {
			t.Errorf("%q: %v, %v; want %s", ref, r, err, want)
		}
	}
}

// Each way a record can be bad is set aside and named; the others are read.
func TestCorruptRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.db")
	s := open(t, path, slog.New(slog.DiscardHandler))
	put(t, s, "good", "good")
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketContainers))
		return errors.Join(
			b.Put([]byte("torn"), []byte(`{"id":"torn","na`)),
			b.Put([]byte("other"), []byte(`{"id":"torn","name":"x","config":{},"hostConfig":{},"state":{"status":"created"}}`)),
			b.Put([]byte("odd"), []byte(`{"id":"odd","name":"odd","config":{},"hostConfig":{},"state":{"status":"flying"}}`)),
			b.Put([]byte("twin"), []byte(`{"id":"twin","name":"good","config":{},"hostConfig":{},"state":{"status":"created"}}`)))
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s = open(t, path, slog.New(slog.NewTextHandler(&out, nil)))
	defer s.Close()
	if all := s.All(); len(all) != 1 || all[0].ID != "good" {
		t.Fatal(all)
	}
	for _, id := range []string{"torn", "other", "odd", "twin"} {
		if !strings.Contains(out.String(), "container="+id) {
			t.Errorf("%s is not named in the log:\n%s", id, out.String())
		}
		err := s.db.View(func(tx *bbolt.Tx) error {
			if tx.Bucket([]byte(bucketCorrupt)).Get([]byte(id)) == nil {
				return errors.New("not set aside: " + id)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestForeignFile(t *testing.T) {
	for name, content := range map[string]string{"text": "this is not a database, by far; it only has its name\n", "short": "x", "zeros": string(make([]byte, 8192))} {
		path := filepath.Join(t.TempDir(), "engine.db")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "move the file away") {
			t.Errorf("%s: %v", name, err)
		}
	}
	empty := filepath.Join(t.TempDir(), "engine.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(t, empty, slog.New(slog.DiscardHandler)).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestConcurrentSaves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.db")
	s := open(t, path, slog.New(slog.DiscardHandler))
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			id, name := fmt.Sprintf("id%02d", i), fmt.Sprintf("name%02d", i)
			if err := s.Reserve(name, id); err != nil {
				t.Error(err)
			}
			s.Publish(record(id, name))
			for j := range 5 {
				s.Update(id, func(r *container.Record) { r.State.ExitCode = j })
				if err := s.Save(id); err != nil {
					t.Error(err)
				}
			}
			if i%2 == 0 {
				if err := s.Delete(id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, slog.New(slog.DiscardHandler))
	defer s.Close()
	if len(s.All()) != 10 {
		t.Fatal(len(s.All()))
	}
	for _, r := range s.All() {
		if r.State.ExitCode != 4 {
			t.Errorf("%s: %d", r.ID, r.State.ExitCode)
		}
	}
}

func TestReserve(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "engine.db"), slog.New(slog.DiscardHandler))
	defer s.Close()
	if err := s.Reserve("n", "a"); err != nil {
		t.Fatal(err)
	}
	want := `Conflict. The container name "/n" is already in use by container "a". You have to remove (or rename) that container to be able to reuse that name.`
	if err := s.Reserve("n", "b"); !errdefs.IsConflict(err) || err.Error() != want {
		t.Fatal(err)
	}
	s.Unreserve("n", "b") // not its own
	if err := s.Reserve("n", "b"); err == nil {
		t.Fatal("taken away by a stranger")
	}
	s.Unreserve("n", "a")
	if err := s.Reserve("n", "b"); err != nil {
		t.Fatal(err)
	}
}

// A name that was dropped and taken anew is never two containers' on disk.
func TestDroppedNameIsFreeOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.db")
	log := slog.New(slog.DiscardHandler)
	s := open(t, path, log)
	put(t, s, "aa11", "one")
	store := s.Drop("aa11")
	put(t, s, "ab22", "one") // stored before store is called
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, log)
	if all := s.All(); len(all) != 1 || all[0].ID != "ab22" {
		t.Errorf("%+v", all)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := store(); err != nil {
		t.Errorf("what another has stored: %v", err)
	}
}
