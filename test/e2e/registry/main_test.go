// Package registry drives the built berth-registry as its users do: with
// skopeo, the stock docker CLI, berth and plain requests.
package registry

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// registry is one berth-registry and its data.
type registry struct {
	t    *testing.T
	dir  string
	host string
	args []string
	cmd  *exec.Cmd
	log  *bytes.Buffer
}

func newRegistry(t *testing.T, dir string, args ...string) *registry {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &registry{t: t, dir: dir, host: l.Addr().String(), args: args}
	l.Close()
	return r
}

// launch starts the registry without waiting for it.
func (r *registry) launch() {
	r.t.Helper()
	r.log = &bytes.Buffer{}
	r.cmd = exec.Command(harness.Bin(r.t, "berth-registry"), append([]string{"serve", "--data-dir", r.dir, "--listen", r.host, "--access-log", os.DevNull}, r.args...)...)
	r.cmd.Stderr = r.log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.kill)
}

func (r *registry) start() {
	r.t.Helper()
	r.launch()
	harness.Eventually(r.t, "the registry", func() bool {
		resp, err := http.Get("http://" + r.host + "/healthz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (r *registry) kill() {
	if r.cmd.ProcessState == nil {
		_ = r.cmd.Process.Signal(syscall.SIGKILL)
		_ = r.cmd.Wait() // killed
	}
}

// run runs one of the registry's commands on its data.
func (r *registry) run(in string, args ...string) (string, error) {
	r.t.Helper()
	cmd := exec.Command(harness.Bin(r.t, "berth-registry"), append(args, "--data-dir", r.dir)...)
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (r *registry) ok(in string, args ...string) string {
	r.t.Helper()
	out, err := r.run(in, args...)
	if err != nil {
		r.t.Fatalf("berth-registry %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (r *registry) request(method, path, user string, body io.Reader) (int, string, http.Header) {
	r.t.Helper()
	url := path
	if strings.HasPrefix(path, "/") {
		url = "http://" + r.host + path
	}
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		r.t.Fatal(err)
	}
	if name, password, ok := strings.Cut(user, ":"); ok {
		req.SetBasicAuth(name, password)
	}
	if strings.Contains(path, "/manifests/") {
		req.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

// skopeo runs it with a policy and a home of its own.
func skopeo(t *testing.T, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.json")
	if err := os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("skopeo", append([]string{"--policy", policy}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_RUNTIME_DIR="+dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// archive is a file with an image of three layers.
func archive(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(file, harness.Archive(t, "app:1", harness.Layers(t, 3, 200_000)...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
