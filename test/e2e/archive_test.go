package e2e

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// each runs f with both clients.
func each(t *testing.T, e *harness.Engine, f func(t *testing.T, client func(...string) harness.Result)) {
	t.Helper()
	t.Run("berth", func(t *testing.T) { f(t, e.Berth) })
	t.Run("docker", func(t *testing.T) { f(t, e.Docker) })
}

// Docker's rules for cp, on a container that runs and on one that does not.
func TestCopy(t *testing.T) {
	e := engine(t)
	each(t, e, func(t *testing.T, client func(...string) harness.Result) {
		for _, running := range []bool{true, false} {
			args := []string{"-v", "vol:/vol", "--name", "box", "busybox", "sleep", "300"}
			if running {
				e.OK(append([]string{"run", "-d"}, args...)...)
			} else {
				e.OK(append([]string{"create"}, args...)...)
			}
			copies(t, client)
			e.OK("rm", "-f", "box")
			// The volume has what was copied to it.
			if got := e.OK("run", "--rm", "-v", "vol:/vol", "busybox", "cat", "/vol/file"); got != "one" {
				t.Errorf("in the volume: %q", got)
			}
			e.OK("volume", "rm", "vol")
		}
	})
}

func copies(t *testing.T, client func(...string) harness.Result) {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o640)); err != nil {
			t.Fatal(err)
		}
	}
	put("file", "one")
	put("src/a/b", "two")
	if err := os.Symlink("file", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	ok := func(args ...string) {
		t.Helper()
		if r := client(append([]string{"cp"}, args...)...); r.Code != 0 {
			t.Errorf("cp %v: %+v", args, r)
		}
	}
	bad := func(words string, args ...string) {
		t.Helper()
		if r := client(append([]string{"cp"}, args...)...); r.Code == 0 || !strings.Contains(r.Err, words) {
			t.Errorf("cp %v: %+v, want %q", args, r, words)
		}
	}
	ok(dir+"/file", "box:/vol/file")
	ok(dir+"/file", "box:/tmp/renamed")
	ok(dir+"/src", "box:/made")     // made does not exist: src becomes it
	ok(dir+"/src", "box:/made")     // now it does: src goes below
	ok(dir+"/src/.", "box:/tmp")    // the content only
	ok("-L", dir+"/link", "box:/l") // what it points to
	bad("no such file", dir+"/nope", "box:/tmp")
	bad("", dir+"/src", "box:/tmp/renamed")
	bad("", dir+"/file", "box:/missing/dir/")
	bad("", "box:/nope", dir)
	bad("No such container", dir+"/file", "nosuch:/tmp")
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	ok("box:/vol/file", out)
	ok("box:/made", out)
	ok("box:/made/.", out+"/content")
	ok("box:/l", out+"/renamed")
	for path, want := range map[string]string{"file": "one", "made/a/b": "two", "made/src/a/b": "two", "content/a/b": "two", "renamed": "one"} {
		if b, err := os.ReadFile(filepath.Join(out, path)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	ok("box:/tmp/a", out+"/a")
	if b, err := os.ReadFile(out + "/a/b"); err != nil || string(b) != "two" {
		t.Errorf("a/b: %q, %v", b, err)
	}
	if r := client("cp", "box:/vol/file", "-"); r.Code != 0 || !slices.Equal(elements(t, r.Out), []string{"file"}) {
		t.Errorf("to stdout: %+v", r)
	}
}

// elements are the elements of a tar.
func elements(t *testing.T, archive string) []string {
	t.Helper()
	var list []string
	for r := tar.NewReader(strings.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, h.Name)
	}
}

// A container that swaps a directory for a link to the host's root while files
// are copied through it gets and gives none of the host's.
func TestCopyFromSwapper(t *testing.T) {
	e := engine(t)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("host"), 0o644); err != nil {
		t.Fatal(err)
	}
	e.OK("run", "-d", "--name", "box", "busybox", "sh", "-c", `mkdir -p /dir`+outside+` /d/real && echo guest > /d/real/secret && cd /d && touch /ready &&
		while :; do ln -sfn `+outside+` swap; ln -sfn real swap; done`)
	harness.Eventually(t, "the container to swap", func() bool { return e.Berth("exec", "box", "test", "-e", "/ready").Code == 0 })
	for i := range 30 {
		if r := e.Berth("cp", "box:/d/swap/secret", "-"); strings.Contains(r.Out, "host") {
			t.Fatalf("round %d: a file of the host was read: %q", i, r.Out)
		}
		e.WithInput(tarOf(t, "planted", "x"), "cp", "-", "box:/d/swap")
		if _, err := os.Stat(filepath.Join(outside, "planted")); err == nil {
			t.Fatalf("round %d: a file was written to the host", i)
		}
	}
	e.OK("rm", "-f", "box")
}

func tarOf(t *testing.T, name, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}), ignore(w.Write([]byte(text))), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func ignore(_ int, err error) error { return err }

// Whoever unpacks into a container stays in it.
func TestHostileArchive(t *testing.T) {
	e := engine(t)
	outside := t.TempDir()
	e.OK("create", "--name", "box", "busybox")
	e.OK("create", "--name", "readonly", "--read-only", "-v", "ro:/ro:ro", "-v", "rw:/rw", "busybox")
	for _, name := range []string{"../../escaped", outside + "/escaped", "a/../../../escaped"} {
		e.WithInput(tarOf(t, name, "x"), "cp", "-", "box:/tmp")
	}
	if r := e.WithInput("garbage", "cp", "-", "box:/tmp"); r.Code == 0 {
		t.Errorf("garbage was taken: %+v", r)
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
	for place, words := range map[string]string{"readonly:/tmp": "container rootfs is marked read-only", "readonly:/ro": "mounted volume is marked read-only"} {
		if r := e.WithInput(tarOf(t, "f", "x"), "cp", "-", place); r.Code == 0 || !strings.Contains(r.Err, words) {
			t.Errorf("%s: %+v", place, r)
		}
	}
	if r := e.WithInput(tarOf(t, "f", "x"), "cp", "-", "readonly:/rw"); r.Code != 0 {
		t.Errorf("%+v", r)
	}
	if status, body, err := e.Do("GET", "/v1.47/containers/box/archive", ""); err != nil || status != 400 {
		t.Errorf("without a path: %d %s %v", status, body, err)
	}
}

func TestDiffExportCommit(t *testing.T) {
	e := engine(t)
	each(t, e, func(t *testing.T, client func(...string) harness.Result) {
		ok := func(args ...string) string {
			t.Helper()
			r := client(args...)
			if r.Code != 0 {
				t.Fatalf("%v: %+v", args, r)
			}
			return strings.TrimRight(r.Out, "\n")
		}
		e.OK("run", "-d", "--name", "box", "-v", "/vol", "--hostname", "h", "-e", "A=1", "busybox", "sh", "-c",
			"echo new > /new; rm /bin/true; rm -r /tmp; mkdir /tmp; echo x > /tmp/x; ln -s new /link; touch /vol/in; touch /ready; sleep 300")
		harness.Eventually(t, "the container's writes", func() bool { return e.Berth("exec", "box", "test", "-e", "/ready").Code == 0 })
		diff := strings.Split(ok("diff", "box"), "\n")
		for _, want := range []string{"A /new", "D /bin/true", "C /bin", "C /tmp", "A /tmp/x", "A /link", "A /ready"} {
			if !slices.Contains(diff, want) {
				t.Errorf("no %q in %q", want, diff)
			}
		}
		exported := elements(t, ok("export", "box")+"\n")
		for _, want := range []string{"new", "bin/sh", "vol/"} {
			if !slices.Contains(exported, want) {
				t.Errorf("no %s among the exported", want)
			}
		}
		for _, not := range []string{"vol/in", "bin/true", "proc/self", "dev/null"} {
			if slices.Contains(exported, not) {
				t.Errorf("%s was exported", not)
			}
		}
		id := ok("commit", "-a", "me", "-m", "why", "-c", "ENV B=2", "-c", `CMD ["cat", "/new"]`, "box", "made:1")
		if got := e.OK("image", "inspect", "-f", "{{.Id}} {{.Author}} {{.Comment}} {{len .RootFS.Layers}}", "made:1"); got != id+" me why 2" {
			t.Errorf("inspect: %s, want %s", got, id)
		}
		if state := e.OK("inspect", "-f", "{{.State.Status}}", "box"); state != "running" {
			t.Errorf("after the commit the container is %s", state)
		}
		if got := e.OK("run", "--rm", "made:1"); got != "new" {
			t.Errorf("the image's command printed %q", got)
		}
		script := "readlink /link; ls /tmp; test -e /bin/true || echo gone; ls /vol; echo $A $B"
		if got := e.OK("run", "--rm", "made:1", "sh", "-c", script); got != "new\nx\ngone\n1 2" {
			t.Errorf("in the image: %q", got)
		}
		host := harness.Registry(t)
		e.OK("tag", "made:1", host+"/made:1")
		e.OK("push", host+"/made:1")
		e.OK("rmi", "-f", "made:1", host+"/made:1")
		e.OK("pull", host+"/made:1")
		if got := e.OK("image", "inspect", "-f", "{{.Id}}", host+"/made:1"); got != id {
			t.Errorf("pushed and pulled: %s, want %s", got, id)
		}
		e.OK("rm", "-f", "-v", "box")
		e.OK("rmi", host+"/made:1")
	})
	for _, args := range [][]string{{"diff", "nosuch"}, {"export", "nosuch", "-o", "/dev/null"}, {"commit", "nosuch"}, {"cp", "a", "b"}, {"cp", "box:/a", "d:/b"}} {
		if r := e.Berth(args...); r.Code != 1 || r.Err == "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
}
