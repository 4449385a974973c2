package userns

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func files(t *testing.T, uids, gids string) Files {
	t.Helper()
	dir := t.TempDir()
	f := Files{filepath.Join(dir, "subuid"), filepath.Join(dir, "subgid")}
	for name, text := range map[string]string{f.UIDs: uids, f.GIDs: gids} {
		if text == "" {
			continue
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func TestFind(t *testing.T) {
	const uids, gids = "# who\nalice:100000:10\nbob:200000:65536\nalice:300000:5\n0:500000:5\nbroken\nalice:x:1\n", "alice:100000:10\nstaff:400000:65536"
	for _, tc := range []struct{ spec, uids, gids, want string }{
		{"alice", uids, gids, "{[{0 100000 10} {10 300000 5}] [{0 100000 10}]}"},
		{"bob:staff", uids, gids, "{[{0 200000 65536}] [{0 400000 65536}]}"},
		{"bob", uids, gids, `userns-remap: no subordinate IDs for "bob" in `},
		{"nobody-here", uids, gids, `userns-remap: no subordinate IDs for "nobody-here" in `},
		{"root", uids, gids, `userns-remap "root": name another user than root`},
		{"", uids, gids, `userns-remap "": name another user than root`},
		{"default", "", "", "{[{0 100000 65536}] [{0 100000 65536}]}"},
		{"default", uids, gids, "{[{0 500005 65536}] [{0 500005 65536}]}"},
		{"default", "dockremap:7000000:9\n", "dockremap:8000000:9", "{[{0 7000000 9}] [{0 8000000 9}]}"},
		{"default", "x:4294900000:60000", "", "leave no range of 65536 IDs free"},
	} {
		f := files(t, tc.uids, tc.gids)
		m, err := Find(tc.spec, f)
		got := fmt.Sprint(m)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, tc.want) && !strings.Contains(got, tc.want) {
			t.Errorf("%s: %s, want %s", tc.spec, got, tc.want)
		}
		if again, err2 := Find(tc.spec, f); err == nil && (err2 != nil || fmt.Sprint(again) != got) {
			t.Errorf("%s, a second time: %v, %v", tc.spec, again, err2)
		}
	}
}

func TestMap(t *testing.T) {
	m := Map{UIDs: []Range{{0, 100, 10}}, GIDs: []Range{{0, 200, 10}}}
	if uid, gid := m.Root(); uid != 100 || gid != 200 || m.IsHost() {
		t.Error(uid, gid)
	}
	own, err := Of(os.Getpid())
	if err != nil || !own.IsHost() {
		t.Error(own, err)
	}
	if uid, gid := (Map{}).Root(); uid != 0 || gid != 0 || !(Map{}).IsHost() {
		t.Error(uid, gid)
	}
}

func TestExchange(t *testing.T) {
	for _, tc := range [][2]uint32{{0, 0}, {0, 1}, {1000, 0}, {1000, 1001}, {5, 70000}, {1<<32 - 2, 0}, {1<<32 - 2, 1<<32 - 2}} {
		m, total := Exchange(tc[0], tc[1]), uint64(0)
		for _, r := range m {
			total += uint64(r.Count)
		}
		if outside(m, tc[0]) != int(tc[1]) || outside(m, tc[1]) != int(tc[0]) || outside(m, 77) != 77 || total != 1<<32-1 {
			t.Errorf("%v: %v, %d IDs", tc, m, total)
		}
	}
}

func FuzzEntries(f *testing.F) {
	f.Add([]byte("a:1:2\n:::\n#\n"))
	f.Add([]byte("a:4294967295:4294967295"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, e := range entries(text) {
			if e.name == "" || e.first == 0 || e.count == 0 || e.first+e.count < e.first {
				t.Fatalf("%+v", e)
			}
		}
	})
}
