package rights

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/crypto/bcrypt"
)

func hash(t testing.TB, password string) string {
	t.Helper()
	b, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMatch(t *testing.T) {
	for _, row := range []struct {
		pattern, name string
		want          bool
	}{
		{"app", "app", true}, {"app", "apps", false}, {"app", "team/app", false},
		{"*", "app", true}, {"*", "team/app", false}, {"team/*", "team/app", true}, {"team/*", "team", false}, {"team/*", "team/a/b", false},
		{"team/**", "team/a/b", true}, {"team/**", "team", true}, {"team/**", "teams/a", false}, {"**", "a/b/c", true}, {"**/app", "x/y/app", true}, {"**/app", "app", true},
		{"app-*", "app-1", true}, {"app-*", "app", false}, {"*-x-*", "a-x-b", true}, {"*-x-*", "a-x", false}, {"a*a", "a", false}, {"a*b*a", "abba", true},
	} {
		if got := Match(row.pattern, row.name); got != row.want {
			t.Errorf("Match(%q, %q) = %v", row.pattern, row.name, got)
		}
	}
}

func TestAllowed(t *testing.T) {
	secret := hashSecret("s")
	r, err := Parse("rights", []byte("user alice "+hash(t, "a")+"\nuser bob "+hash(t, "b")+"\nkey ci "+secret+"\ncert build-7\n"+
		"allow alice all team/**   # her own\nallow bob push team/app\nallow ci pull team/app\nallow users pull shared/*\nallow everyone pull public/*\nallow build-7 push,delete out/*\nquota team/** 2GB\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		action Action
		repo   string
		want   bool
	}{
		{"alice", Delete, "team/x/y", true}, {"alice", Pull, "public/x", true}, {"alice", Push, "public/x", false}, {"alice", Pull, "other", false},
		{"bob", Push, "team/app", true}, {"bob", Pull, "team/app", true}, {"bob", Delete, "team/app", false}, {"bob", Pull, "team/web", false},
		{"ci", Pull, "team/app", true}, {"ci", Push, "team/app", false}, {"ci", Pull, "shared/x", true},
		{"", Pull, "public/x", true}, {"", Pull, "shared/x", false}, {"", Pull, "team/app", false}, {"build-7", Delete, "out/x", true},
		{"nobody", Pull, "team/app", false},
	} {
		if got := r.Allowed(row.name, row.action, row.repo); got != row.want {
			t.Errorf("%s %s %s: %v", row.name, row.action, row.repo, got)
		}
	}
	if q := r.Quotas("team/app"); len(q) != 1 || q[0].Bytes != 2e9 {
		t.Errorf("quotas: %v", q)
	}
}

// A group may be allowed more than a key can.
func TestKeyOnlyPullsWhateverTheGroupsMay(t *testing.T) {
	r, err := Parse("rights", []byte("key ci "+hashSecret("s")+"\nallow users all **\nallow everyone all **\n"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Allowed("ci", Push, "x") || r.Allowed("ci", Delete, "x") || !r.Allowed("ci", Pull, "x") {
		t.Error("a key got more or less than pull")
	}
}

func TestParseErrors(t *testing.T) {
	user := "user alice " + hash(t, "a") + "\n"
	for _, row := range []struct {
		text, place, says string
	}{
		{"grant x\n", "line 1, column 1", "unknown word"},
		{user + "allow alice fly team/*\n", "line 2, column 13", "unknown right"},
		{user + "allow alice pull,fly team/*\n", "line 2, column 18", "unknown right"},
		{user + "allow alice pull Team\n", "line 2, column 18", "no repository"},
		{user + "allow alice pull a/../b\n", "line 2, column 18", "no repository"},
		{user + "  allow alcie pull team\n", "line 2, column 9", "no user"},
		{user + user, "line 2, column 6", "already"},
		{"user alice plain\n", "line 1, column 12", "bcrypt"},
		{"user users x\n", "line 1, column 12", "bcrypt"},
		{"cert everyone\n", "line 1, column 6", "group"},
		{"key ci sha256:12\n", "line 1, column 8", "64 hexadecimal"},
		{"key ci " + hashSecret("x") + "\nallow ci push app\n", "line 2, column 10", "only pull"},
		{user + "allow alice pull te", "line 2, column 20", "cut off"},
		{user + "allow alice", "line 2, column 12", "missing"},
		{"quota ** lots\n", "line 1, column 10", "no size"},
		{"htpasswd /nowhere/at/all\n", "line 1, column 10", "read htpasswd"},
		{"cert a b\n", "line 1, column 8", "too much"},
	} {
		_, err := Parse("rights", []byte(row.text))
		var at *Error
		if !errors.As(err, &at) || !strings.Contains(err.Error(), row.place) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%q: %v; want %s: %s", row.text, err, row.place, row.says)
		}
	}
}

func TestSourceKeepsWhatWasRight(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rights")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	failed := 0
	var log strings.Builder
	s, err := Open(path, slog.New(slog.NewTextHandler(&log, nil)), func() { failed++ })
	if err != nil || s.Current() != nil {
		t.Fatal("no file is no rights", err)
	}
	write("cert a\nallow a pull x\n")
	if !s.Current().Allowed("a", Pull, "x") {
		t.Fatal("the new file was not read")
	}
	write("cert a\nallow a pull,push x y\nallow a pu")
	for range 3 {
		if !s.Current().Allowed("a", Pull, "x") || s.Current().Allowed("a", Push, "x") {
			t.Fatal("a torn file changed the rights")
		}
	}
	if failed != 1 || !strings.Contains(log.String(), "line 3, column") {
		t.Errorf("told %d times: %s", failed, log.String())
	}
	write("cert a\nallow a pull,push x y\n")
	if !s.Current().Allowed("a", Push, "x") {
		t.Error("the right file was not read")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if !s.Current().Allowed("a", Push, "x") {
		t.Error("a removed file took the rights away, or opened the registry")
	}
}

func TestHtpasswdIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	users, path := filepath.Join(dir, "htpasswd"), filepath.Join(dir, "rights")
	for file, text := range map[string]string{users: "bob:" + hash(t, "b") + "\n", path: "htpasswd htpasswd\nallow bob pull **\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(path, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(users, []byte("bob:"+hash(t, "b")+"\ncarol:"+hash(t, "c")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !s.Current().Known("carol") {
		t.Error("the new user is not known")
	}
}

func TestEditAndVerify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rights")
	if err := AddUser(path, "alice", "pässword", "pull,push", []string{"team/*"}); err != nil {
		t.Fatal(err)
	}
	secret, err := AddKey(path, "ci", []string{"team/app"})
	if err != nil {
		t.Fatal(err)
	}
	if err := AddUser(path, "ci", "x", "", nil); !errdefs.IsAlreadyExists(err) {
		t.Errorf("a user over a key: %v", err)
	}
	if err := AddUser(path, "a b", "x", "", nil); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a name with a blank: %v", err)
	}
	if err := AddUser(path, "bob", strings.Repeat("x", 73), "", nil); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a password that is too long: %v", err)
	}
	r, _, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, password string
		want           bool
	}{
		{"alice", "pässword", true}, {"alice", "pässword", true}, {"alice", "password", false}, {"alice", "", false},
		{"ci", secret, true}, {"ci", "x", false}, {"nobody", "x", false}, {"", "", false},
	} {
		if got, err := v.Verify(context.Background(), r, row.name, row.password); got != row.want || err != nil {
			t.Errorf("verify %s: %v %v", row.name, got, err)
		}
	}
	if err := Remove(path, "alice"); err != nil {
		t.Fatal(err)
	}
	if err := Remove(path, "alice"); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	list, err := List(path)
	if err != nil || len(list) != 1 || list[0].Name != "ci" || list[0].Rules[0] != "pull team/app" {
		t.Errorf("%v %v", list, err)
	}
	if b, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(b), "# Who") || strings.Contains(string(b), "alice") {
		t.Errorf("the file is now: %s %v", b, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("user alice $2a$04$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\nallow alice all team/**\n", "alice", "team/x")
	f.Add("key ci "+hashSecret("x")+"\nallow ci pull app*\nquota ** 1GB\n", "ci", "app1")
	f.Add("allow everyone pull **\n# comment", "", "a")
	f.Add("cert a\nallow a push,delete */x\n\x00", "a", "b/x")
	f.Fuzz(func(t *testing.T, text, name, repository string) {
		if strings.Contains(text, "htpasswd") {
			t.Skip("reads files")
		}
		r, err := Parse("rights", []byte(text))
		if err != nil {
			var at *Error
			if !errors.As(err, &at) || at.Line < 1 || at.Column < 1 {
				t.Errorf("no place: %v", err)
			}
			return
		}
		if r.Allowed(name, Push, repository) && !r.Allowed(name, Pull, repository) {
			t.Error("push without pull")
		}
		if r.identities[name].kind == key && (r.Allowed(name, Push, repository) || r.Allowed(name, Delete, repository)) {
			t.Error("a key does more than pull")
		}
	})
}
