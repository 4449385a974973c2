package boltfile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"go.etcd.io/bbolt"
)

// sample is a database with branches, overflowing values, and buckets of both kinds.
func sample(t testing.TB, synced bool) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: !synced, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		err = db.Update(func(tx *bbolt.Tx) error {
			big, _ := tx.CreateBucketIfNotExists([]byte("big"))
			nested, _ := big.CreateBucketIfNotExists([]byte("nested"))
			inline, _ := tx.CreateBucketIfNotExists([]byte("inline"))
			for i := range 300 {
				key := []byte(fmt.Sprint(round, "key", i))
				if err := big.Put(key, bytes.Repeat([]byte("v"), i)); err != nil {
					return err
				}
				if err := nested.Put(key, nil); err != nil {
					return err
				}
			}
			if err := big.Put([]byte("long"), make([]byte, 20000)); err != nil {
				return err
			}
			return inline.Put([]byte("k"), []byte("v"))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func checkBytes(b []byte) error { return check(bytes.NewReader(b), int64(len(b))) }

func TestCheck(t *testing.T) {
	for _, synced := range []bool{false, true} {
		good := sample(t, synced)
		if err := checkBytes(good); err != nil {
			t.Fatalf("a good file: %v", err)
		}
		if m, err := newest(bytes.NewReader(good)); err != nil || checkBytes(good[:int64(m.pages)*m.pageSize]) != nil {
			t.Errorf("without its reserve: %v", err)
		}
		for what, tear := range map[string]func([]byte) []byte{
			"text":      func([]byte) []byte { return []byte(strings.Repeat("not a database ", 1000)) },
			"short":     func(b []byte) []byte { return b[:10] },
			"one page":  func(b []byte) []byte { return b[:4096] },
			"half":      func(b []byte) []byte { return b[:len(b)/4] },
			"zeroed":    func(b []byte) []byte { clear(b[8192:]); return b },
			"two metas": func(b []byte) []byte { clear(b[:8192]); return b },
		} {
			if err := checkBytes(tear(bytes.Clone(good))); !errdefs.IsDataLoss(err) {
				t.Errorf("%s: %v", what, err)
			}
		}
		one := bytes.Clone(good)
		clear(one[:4096]) // the other meta page is enough, as for bbolt
		if err := checkBytes(one); err != nil && !errdefs.IsDataLoss(err) {
			t.Error(err)
		}
	}
}

func TestCheckFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	if err := Check(path); err != nil {
		t.Errorf("a missing file: %v", err)
	}
	for content, good := range map[string]bool{"": true, "x": false, string(sample(t, true)): true} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Check(path); (err == nil) != good {
			t.Errorf("%d bytes: %v", len(content), err)
		}
	}
}

// A file that passes can be opened and read by bbolt without a panic.
func FuzzCheck(f *testing.F) {
	good := sample(f, false)
	f.Add(uint32(8192), uint32(1), []byte{0})
	f.Add(uint32(4096*5+10), uint32(4096), []byte{7, 7, 7})
	f.Add(uint32(16), uint32(4096), []byte{1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, at, cut uint32, noise []byte) {
		b := bytes.Clone(good)
		copy(b[int(at)%len(b):], noise)
		b = b[:len(b)-int(cut)%len(b)]
		if checkBytes(b) != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true})
		if err != nil {
			return
		}
		defer db.Close()
		_ = db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return b.ForEach(func(k, v []byte) error { return nil }) })
		})
	})
}
