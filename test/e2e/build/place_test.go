package build

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/test/harness"
)

// A place has what builds need beside an engine: the base image, a server of
// files and of a git repository, and a key.
type place struct {
	dir    string
	base   string // an archive of docker.io/library/busybox:latest
	server string // http://…
	key    string // a private key for ssh

	basePicture *picture
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{dir: t.TempDir()}
	t.Cleanup(func() { unmount(t, p.dir) })
	p.base = filepath.Join(p.dir, "busybox.tar")
	archive := harness.Archive(t, "docker.io/library/busybox:latest", rootfs(t))
	if err := os.WriteFile(p.base, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.basePicture, err = readPicture(p.base); err != nil {
		t.Fatal(err)
	}
	p.serve(t)
	p.makeKey(t)
	return p
}

// unmount takes away what builders leave mounted.
func unmount(t *testing.T, dir string) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Error(err)
	}
	for _, line := range slices.Backward(strings.Split(string(b), "\n")) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			if err := unix.Unmount(f[4], unix.MNT_DETACH); err != nil {
				t.Errorf("unmount %s: %v", f[4], err)
			}
		}
	}
}

// rootfs is harness.BusyboxTar and the folders that runtimes mount on, which
// some builders leave in the layer if the base does not have them.
func rootfs(t *testing.T) []byte {
	t.Helper()
	box, err := harness.BusyboxTar()
	if err != nil {
		t.Fatal(err)
	}
	var entries []harness.Entry
	for _, dir := range []string{"proc", "sys", "dev", "run", "usr", "usr/bin", "opt", "srv"} {
		entries = append(entries, harness.Entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}})
	}
	for _, file := range []string{"etc/hosts", "etc/resolv.conf", "etc/hostname"} {
		entries = append(entries, harness.Entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: file, Mode: 0o644}})
	}
	more := harness.TarGzip(t, entries...)
	return join(t, box, gunzip(t, more))
}

func (p *place) serve(t *testing.T) {
	t.Helper()
	files := filepath.Join(p.dir, "files")
	repo := filepath.Join(files, "project.git")
	err := mkdir(files)
	for name, content := range map[string][]byte{
		"hello.txt":  []byte("hello from the server\n"),
		"site.tar":   plainTar(t, "index.html", "<h1>unpacked</h1>\n"),
		"tool":       []byte("#!/bin/sh\necho tool\n"),
		"upper.conf": []byte("A=1\n"),
	} {
		if err == nil {
			err = write(filepath.Join(files, name), content, 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	gitRepository(t, repo)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/project.git/", &cgi.Handler{
		Path: "/usr/lib/git-core/git-http-backend",
		Env:  []string{"GIT_PROJECT_ROOT=" + files, "GIT_HTTP_EXPORT_ALL=1"},
	})
	mux.Handle("/", http.FileServer(http.Dir(files)))
	server := &http.Server{Handler: mux}
	done := make(chan struct{})
	go func() { _ = server.Serve(l); close(done) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	p.server = "http://" + l.Addr().String()
}

// gitRepository makes a bare one with two commits, the first of them tagged v1.
func gitRepository(t *testing.T, bare string) {
	t.Helper()
	work := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
			"GIT_AUTHOR_DATE=1700000000 +0000", "GIT_COMMITTER_DATE=1700000000 +0000")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	put := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(work, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := write(filepath.Join(work, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git("init", "-q", "-b", "main")
	put("README", "first\n")
	put("sub/Dockerfile", "FROM busybox\nCOPY part .\n")
	put("sub/part", "a part\n")
	git("add", "-A")
	git("commit", "-qm", "first")
	git("tag", "v1")
	put("README", "second\n")
	git("commit", "-qam", "second")
	git("clone", "-q", "--bare", work, bare)
}

func (p *place) makeKey(t *testing.T) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	p.key = filepath.Join(p.dir, "key.pem")
	if err := os.WriteFile(p.key, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
}

func plainTar(t *testing.T, name, content string) []byte {
	t.Helper()
	return gunzip(t, harness.TarGzip(t, harness.Entry{Header: tar.Header{Name: name, Mode: 0o640, Uid: 7, Gid: 8}, Content: []byte(content)}))
}

// join makes one gzipped tar of two.
func join(t *testing.T, tars ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, one := range tars {
		b.Write(bytes.TrimRight(one, "\x00"))
		b.Write(make([]byte, (512-b.Len()%512)%512))
	}
	b.Write(make([]byte, 1024))
	return zip(t, b.Bytes())
}
