package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/continuity/sysx"

	"github.com/berth-containers/berth/test/harness"
)

func load(t *testing.T, e *harness.Engine, archive []byte) harness.Result {
	t.Helper()
	return e.WithInput(string(archive), "load", "-q")
}

// A registry behind a private authority and a password.
func TestPrivateRegistry(t *testing.T) {
	certificate, key := harness.Certificate(t, harness.SecureAddress)
	t.Setenv("SSL_CERT_FILE", certificate) // for the engine
	e := engine(t)
	host := harness.SecureRegistry(t, certificate, key)
	name := host + "/private/box:1"
	e.OK("tag", "busybox", name)
	id := e.OK("image", "inspect", "-f", "{{.Id}}", name)
	for _, client := range []struct {
		run func(...string) harness.Result
		ok  func(...string) string
	}{{e.Berth, e.OK}, {e.Docker, e.DockerOK}} {
		if r := client.run("push", name); r.Code != 1 || !strings.Contains(r.Err, "denied") {
			t.Errorf("push without a login: %+v", r)
		}
		if r := client.run("login", "-u", "user", "-p", "wrong", host); r.Code != 1 || !strings.Contains(r.Err, "incorrect username or password") {
			t.Errorf("login with a wrong password: %+v", r)
		}
		if out := client.ok("login", "-u", "user", "-p", "secret", host); !strings.Contains(out, "Login Succeeded") {
			t.Errorf("login: %s", out)
		}
		client.ok("push", name)
		client.ok("rmi", name)
		client.ok("pull", name)
		if got := e.OK("image", "inspect", "-f", "{{.Id}}", name); got != id {
			t.Errorf("pushed %s, pulled %s", id, got)
		}
		client.ok("logout", host)
		if r := client.run("pull", name); r.Code != 1 || !strings.Contains(r.Err, "pull access denied") {
			t.Errorf("pull after logout: %+v", r)
		}
	}
}

// The table of registries: an authority in a folder of certificates, and a
// mirror of docker.io, which nothing here could reach.
func TestRegistries(t *testing.T) {
	certificate, key := harness.Certificate(t, harness.SecureAddress)
	e := engine(t)
	private, mirror := harness.SecureRegistry(t, certificate, key), harness.Registry(t)
	e.OK("tag", "busybox", mirror+"/library/mirrored:1")
	e.OK("push", mirror+"/library/mirrored:1")
	e.OK("rmi", mirror+"/library/mirrored:1")
	e.Stop()
	certs := filepath.Join(e.Dir, "certs.d", private)
	file := filepath.Join(e.Dir, "daemon.json")
	text, err := os.ReadFile(certificate)
	if err == nil {
		err = os.MkdirAll(certs, 0o755)
	}
	config := fmt.Sprintf(`{"registries": {"certs": %q, "hosts": {"docker.io": {"mirrors": ["http://%s"]}}}}`, filepath.Dir(certs), mirror)
	if err = errors.Join(err, os.WriteFile(filepath.Join(certs, "ca.crt"), text, 0o644), os.WriteFile(file, []byte(config), 0o644)); err != nil {
		t.Fatal(err)
	}
	e.Flags = []string{"--config-file", file}
	e.Start()
	name := private + "/private/box:1"
	e.DockerOK("tag", "busybox", name)
	e.DockerOK("login", "-u", "user", "-p", "secret", private)
	e.DockerOK("push", name)
	e.DockerOK("rmi", name)
	e.DockerOK("pull", name)
	e.DockerOK("pull", "mirrored:1")
	if got := e.OK("images", "-q", "mirrored:1"); got != e.OK("images", "-q", "busybox") {
		t.Errorf("the mirror's image is %s", got)
	}
	if got := e.DockerOK("info", "-f", "{{.RegistryConfig.Mirrors}}"); !strings.Contains(got, mirror) {
		t.Errorf("mirrors %s", got)
	}
}

func TestAllTags(t *testing.T) {
	e := engine(t)
	host := harness.Registry(t)
	for _, tag := range []string{"1", "2", "3"} {
		e.OK("tag", "busybox", host+"/box:"+tag)
		e.OK("push", host+"/box:"+tag)
	}
	for _, pull := range []func(...string) string{e.OK, e.DockerOK} {
		e.OK("rmi", host+"/box:1", host+"/box:2", host+"/box:3")
		pull("pull", "-q", "-a", host+"/box")
		if got := strings.Fields(e.OK("images", "--format", "{{.Tag}}", host+"/box")); len(got) != 3 {
			t.Errorf("tags %v", got)
		}
	}
	if r := e.Berth("pull", "--platform", "linux/s390x", host+"/box:1"); r.Code != 1 || !strings.Contains(r.Err, "not for linux/s390x") {
		t.Errorf("pull for another platform: %+v", r)
	}
	if r := e.Docker("run", "--rm", "--platform", "linux/s390x", host+"/box:1", "true"); r.Code != 125 || !strings.Contains(r.Err, "not for linux/s390x") {
		t.Errorf("run for another platform: %+v", r)
	}
}

// What was saved together comes back as it was, whoever loads it.
func TestSaveAndLoadSeveral(t *testing.T) {
	e := engine(t)
	if r := load(t, e, harness.Archive(t, "docker.io/library/other:1", harness.Layers(t, 2, 10_000)...)); r.Code != 0 {
		t.Fatalf("load: %+v", r)
	}
	e.OK("tag", "other:1", "again/other:2")
	names := []string{"again/other:2", "busybox:latest", "other:1"}
	ids := func() (all []string) {
		for _, n := range names {
			all = append(all, n+" "+e.OK("image", "inspect", "-f", "{{.Id}} {{.RootFS.Layers}}", n))
		}
		return all
	}
	want := ids()
	first, second := filepath.Join(e.Dir, "first.tar"), filepath.Join(e.Dir, "second.tar")
	e.OK(append([]string{"save", "-o", first}, names...)...)
	e.DockerOK(append([]string{"save", "-o", second}, names...)...)
	a, _ := os.ReadFile(first)
	b, _ := os.ReadFile(second)
	if len(a) == 0 || !bytes.Equal(a, b) {
		t.Errorf("%d and %d bytes of the same images differ", len(a), len(b))
	}
	for _, loads := range []func() string{
		func() string { return e.OK("load", "-q", "-i", first) },
		func() string { return e.DockerOK("load", "-q", "-i", second) },
	} {
		e.OK("rmi", e.OK("images", "-q", "busybox"))
		e.OK("rmi", "-f", e.OK("images", "-q", "other"))
		if got := e.OK("images", "-q"); strings.Count(got, "\n") > 0 {
			t.Errorf("images are left: %s", got)
		}
		for _, n := range names {
			if out := loads(); !strings.Contains(out, "Loaded image: "+n) {
				t.Errorf("load says %q, not %s", out, n)
			}
		}
		if got := ids(); !slices.Equal(got, want) {
			t.Errorf("loaded %v, saved %v", got, want)
		}
	}
}

// Nothing in an archive reaches a file outside of its layer.
func TestHostileArchives(t *testing.T) {
	e := engine(t)
	victim := filepath.Join(e.Dir, "victim")
	if err := os.WriteFile(victim, []byte("untouched"), 0o644); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 20)
	file := func(name string) harness.Entry {
		return harness.Entry{Header: tar.Header{Name: name, Mode: 0o644}, Content: []byte("evil")}
	}
	link := func(kind byte, name, target string) harness.Entry {
		return harness.Entry{Header: tar.Header{Name: name, Typeflag: kind, Linkname: target, Mode: 0o777}}
	}
	for name, entries := range map[string][]harness.Entry{
		"dot dot":                  {file(up + e.Dir + "/escaped")},
		"absolute":                 {file(e.Dir + "/escaped")},
		"symbolic link, absolute":  {link(tar.TypeSymlink, "out", e.Dir), file("out/escaped"), file("out/victim")},
		"symbolic link, relative":  {link(tar.TypeSymlink, "out", up+e.Dir), file("out/escaped"), file("out/victim")},
		"hard link":                {link(tar.TypeLink, "h", victim), file("h")},
		"hard link, dot dot":       {link(tar.TypeLink, "h", up+victim), file("h")},
		"hard link, symbolic link": {link(tar.TypeSymlink, "out", e.Dir), link(tar.TypeLink, "h", "out/victim"), file("h")},
		"whiteout":                 {link(tar.TypeSymlink, "out", e.Dir), file("out/.wh.victim")},
		"opaque":                   {link(tar.TypeSymlink, "out", e.Dir), file("out/.wh..wh..opq")},
		"twice":                    {file("f"), file("f"), link(tar.TypeSymlink, "f", e.Dir), file("f/escaped")},
		"root":                     {link(tar.TypeSymlink, "/", e.Dir), file("escaped")},
		"device":                   {{Header: tar.Header{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8, Mode: 0o666}}},
	} {
		r := load(t, e, harness.Archive(t, "docker.io/library/hostile:1", harness.TarGzip(t, entries...)))
		if r.Code != 0 && strings.Count(strings.TrimSpace(r.Err), "\n") > 0 {
			t.Errorf("%s: %+v", name, r)
		}
		if got, err := os.ReadFile(victim); err != nil || string(got) != "untouched" {
			t.Errorf("%s: the victim is %q, %v", name, got, err)
		}
		if info, err := os.Stat(victim); err != nil || info.Sys().(*syscall.Stat_t).Nlink != 1 {
			t.Errorf("%s: the victim was linked, %v", name, err)
		}
		if _, err := os.Lstat(filepath.Join(e.Dir, "escaped")); err == nil {
			t.Fatalf("%s: it escaped", name)
		}
	}
}

// Layers with all that is awkward in them become the tree that umoci makes.
func TestSameTreeAsUmoci(t *testing.T) {
	e := engine(t)
	archive := harness.Archive(t, "docker.io/library/awkward:1", awkward(t)...)
	if r := load(t, e, archive); r.Code != 0 {
		t.Fatalf("load: %+v", r)
	}
	layout, bundle := filepath.Join(e.Dir, "layout"), filepath.Join(e.Dir, "bundle")
	if err := os.WriteFile(layout+".tar", archive, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"skopeo", "copy", "-q", "oci-archive:" + layout + ".tar", "oci:" + layout + ":1"},
		{"umoci", "unpack", "--image", layout + ":1", bundle},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	e.OK("create", "--name", "awkward", "awkward:1", "sh")
	lowers := e.OK("inspect", "-f", "{{.GraphDriver.Data.LowerDir}}", "awkward")
	merged := filepath.Join(e.Dir, "merged")
	if err := os.Mkdir(merged, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("overlay", merged, "overlay", syscall.MS_RDONLY, "lowerdir="+lowers); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(merged, 0) //nolint:errcheck // the lab's mounts go with it
	want, got := tree(t, bundle+"/rootfs"), tree(t, merged)
	for name, line := range want {
		if got[name] != line {
			t.Errorf("%s: berth %q, umoci %q", name, got[name], line)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s: umoci has it not", name)
	}
}

// tree describes each file below root in a line.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	lines, inodes := map[string]string{}, map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		st := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprint(info.Mode(), st.Uid, st.Gid, st.Rdev, " ", st.Mtim.Sec)
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if inodes[st.Ino] == "" {
				inodes[st.Ino] = name
			}
			line += fmt.Sprintf(" %x is %s", md5.Sum(content), inodes[st.Ino])
		case info.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			line += " to " + target
		}
		attributes, err := sysx.LListxattr(path)
		if err != nil {
			return err
		}
		slices.Sort(attributes)
		for _, a := range attributes {
			if !strings.HasPrefix(a, "trusted.overlay.") {
				value, _ := sysx.LGetxattr(path, a)
				line += fmt.Sprintf(" %s=%x", a, value)
			}
		}
		lines[name] = line
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// awkward are three layers with what layers may have.
func awkward(t *testing.T) [][]byte {
	t.Helper()
	file := func(name string, mode int64, content string) harness.Entry {
		return harness.Entry{Header: tar.Header{Name: name, Mode: mode}, Content: []byte(content)}
	}
	owned := func(e harness.Entry, uid int) harness.Entry { e.Uid, e.Gid = uid, uid+1; return e }
	special := func(kind byte, name, target string, mode int64) harness.Entry {
		return harness.Entry{Header: tar.Header{Name: name, Typeflag: kind, Linkname: target, Mode: mode}}
	}
	dir := func(name string, mode int64) harness.Entry { return special(tar.TypeDir, name, "", mode) }
	null := special(tar.TypeChar, "null", "", 0o666)
	null.Devmajor, null.Devminor = 1, 3
	attributes := file("attributes", 0o644, "x")
	attributes.PAXRecords = map[string]string{
		"SCHILY.xattr.user.note":           "hello",
		"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	}
	lowest := harness.TarGzip(t,
		dir("etc", 0o755), file("etc/conf", 0o644, "1"), file("etc/gone", 0o644, ""), special(tar.TypeLink, "etc/link", "etc/conf", 0o644),
		owned(dir("opaque", 0o700), 3), file("opaque/a", 0o644, ""), dir("opaque/sub", 0o755), file("opaque/sub/b", 0o644, ""),
		dir("dir2link", 0o755), file("dir2link/x", 0o644, ""), dir("real", 0o755), file("real/y", 0o644, ""),
		special(tar.TypeSymlink, "link2dir", "real", 0o777), file("file2dir", 0o644, ""),
		owned(file("setuid", 0o4755, "s"), 1000), dir("setgid", 0o2775), dir("sticky", 0o1777), attributes, null, special(tar.TypeFifo, "fifo", "", 0o600),
		owned(dir("deep", 0o711), 9), owned(dir("deep/er", 0o700), 8), file("deep/er/f", 0o644, ""),
		file("one", 0o644, "same"), special(tar.TypeLink, "two", "one", 0o644), file("é 中", 0o644, ""),
		dir(strings.Repeat("l", 200), 0o755), file(strings.Repeat("l", 200)+"/"+strings.Repeat("m", 200), 0o644, "long"))
	middle := harness.TarGzip(t,
		file("etc/.wh.gone", 0o644, ""), file("opaque/.wh..wh..opq", 0o644, ""), file("opaque/c", 0o644, ""),
		file(".wh.dir2link", 0o644, ""), special(tar.TypeSymlink, "dir2link", "real", 0o777),
		file(".wh.link2dir", 0o644, ""), dir("link2dir", 0o750), file("link2dir/z", 0o644, ""), dir("file2dir", 0o755), file("file2dir/q", 0o644, ""),
		file("deep/er/g", 0o644, ""), special(tar.TypeLink, "deep/er/h", "deep/er/g", 0o644), file("etc/conf", 0o600, "22"),
		special(tar.TypeLink, "sticky/setuid", "setuid", 0o4755))
	top := harness.TarGzip(t,
		dir("opaque/sub", 0o755), file("opaque/sub/new", 0o644, ""), file(".wh.one", 0o644, ""), file("deep/er/.wh.f", 0o644, ""),
		owned(file("attributes", 0o2711, "y"), 1001), file("etc/gone", 0o644, "back"))
	return [][]byte{lowest, middle, top}
}
