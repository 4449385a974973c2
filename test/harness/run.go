package harness

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Result is a command that ended.
type Result struct {
	Out, Err string
	Code     int
}

// Berth runs the command line against the engine.
func (e *Engine) Berth(args ...string) Result {
	e.t.Helper()
	return e.run("", Bin(e.t, "berth"), args...)
}

// Docker runs the stock docker CLI against the engine.
func (e *Engine) Docker(args ...string) Result {
	e.t.Helper()
	return e.run("", "docker", args...)
}

// OK runs berth, fails the test unless it succeeds, and returns its trimmed output.
func (e *Engine) OK(args ...string) string {
	e.t.Helper()
	return e.must(e.Berth(args...), "berth", args)
}

// DockerOK is OK for the stock docker CLI.
func (e *Engine) DockerOK(args ...string) string {
	e.t.Helper()
	return e.must(e.Docker(args...), "docker", args)
}

// WithInput is Berth with a standard input.
func (e *Engine) WithInput(in string, args ...string) Result {
	e.t.Helper()
	return e.run(in, Bin(e.t, "berth"), args...)
}

func (e *Engine) must(r Result, name string, args []string) string {
	e.t.Helper()
	if r.Code != 0 {
		e.t.Fatalf("%s %s: exit %d\nout: %s\nerr: %s", name, strings.Join(args, " "), r.Code, r.Out, r.Err)
	}
	return strings.TrimSpace(r.Out)
}

// Command prepares a client of the engine that the test runs itself; it is
// killed if it outlives the harness's patience.
func (e *Engine) Command(name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 2*Patience)
	e.t.Cleanup(cancel)
	path := name
	if name == "berth" {
		path = Bin(e.t, name)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+e.clients, "BERTH_HOST=unix://"+e.clients,
		"DOCKER_CONFIG="+filepath.Join(e.Dir, "docker-config"), "HOME="+e.Dir)
	return cmd
}

func (e *Engine) run(in, path string, args ...string) Result {
	e.t.Helper()
	cmd := e.Command(path, args...)
	if in != "" {
		cmd.Stdin = strings.NewReader(in)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := Result{Out: out.String(), Err: errs.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.Code = exit.ExitCode()
	case err != nil:
		e.t.Fatalf("run %s %s: %v", path, strings.Join(args, " "), err)
	}
	return r
}

// Busybox gives the engine the image "busybox": Debian's static busybox with a
// link for each of its commands, and the few files that programs look for.
func (e *Engine) Busybox() {
	e.t.Helper()
	cmd := e.Command("berth", "import", "--change", `CMD ["sh"]`, "-", "busybox:latest")
	cmd.Stdin = bytes.NewReader(busyboxTar(e.t))
	if out, err := cmd.CombinedOutput(); err != nil {
		e.t.Fatalf("import busybox: %v\n%s", err, out)
	}
}

// BusyboxTar is the root filesystem of the image "busybox" as a tar archive.
var BusyboxTar = sync.OnceValues(func() ([]byte, error) {
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return nil, err
	}
	list, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	when := time.Unix(1700000000, 0)
	add := func(h tar.Header, content []byte) {
		h.ModTime, h.Size = when, int64(len(content))
		err = errors.Join(err, w.WriteHeader(&h))
		_, werr := w.Write(content)
		err = errors.Join(err, werr)
	}
	for _, dir := range []string{"bin", "etc", "root", "tmp", "var", "www", "home", "home/user"} {
		mode := int64(0o755)
		if dir == "tmp" {
			mode = 0o1777
		}
		add(tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: mode}, nil)
	}
	add(tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755}, program)
	for _, name := range strings.Fields(string(list)) {
		if name != "busybox" {
			add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox", Mode: 0o777}, nil)
		}
	}
	add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"))
	add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/group", Mode: 0o644}, []byte("root:x:0:\nuser:x:1000:\nstaff:x:50:user\n"))
	add(tar.Header{Typeflag: tar.TypeReg, Name: "www/index.html", Mode: 0o644}, []byte("hello from a container\n"))
	add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/notprogram", Mode: 0o644}, []byte("not a program\n"))
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
})

func busyboxTar(t testing.TB) []byte {
	t.Helper()
	b, err := BusyboxTar()
	if err != nil {
		t.Fatalf("make the busybox image (package busybox-static): %v", err)
	}
	return b
}
