package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/test/harness"
)

func TestOneCommand(t *testing.T) {
	r := newRegistry(t, t.TempDir())
	r.start()
	image := archive(t)
	if out, err := skopeo(t, "copy", "--dest-tls-verify=false", "oci-archive:"+image, "docker://"+r.host+"/team/app:1"); err != nil {
		t.Fatalf("push: %v\n%s", err, out)
	}
	if out, err := skopeo(t, "copy", "--src-tls-verify=false", "docker://"+r.host+"/team/app:1", "oci:"+t.TempDir()+":app"); err != nil {
		t.Fatalf("pull: %v\n%s", err, out)
	}
	if status, body, _ := r.request("GET", "/", "", nil); status != 200 || !strings.Contains(body, "team/app") {
		t.Errorf("%d %s", status, body)
	}
	if out := r.ok("", "check", "--deep"); !strings.Contains(out, "1 repositories, 1 manifests, 5 blobs") {
		t.Errorf("%s", out)
	}
	if out, err := skopeo(t, "delete", "--tls-verify=false", "docker://"+r.host+"/team/app:1"); err != nil {
		t.Fatalf("delete: %v\n%s", err, out)
	}
	if out := r.ok("", "gc", "--grace", "0s"); !strings.Contains(out, "removed 5 blobs") {
		t.Errorf("%s", out)
	}
	other := newRegistry(t, r.dir)
	if out, err := other.run("", "serve", "--listen", other.host); err == nil || !strings.Contains(out, "another berth-registry uses") {
		t.Errorf("two servers on one directory: %v %s", err, out)
	}
	open := newRegistry(t, t.TempDir())
	if out, err := open.run("", "serve", "--listen", "0.0.0.0:0"); err == nil || !strings.Contains(out, "user add") {
		t.Errorf("open to everybody: %v %s", err, out)
	}
}

func TestRights(t *testing.T) {
	e := harness.New(t) // first, so that it ends last and sees what is left behind
	r := newRegistry(t, t.TempDir())
	r.ok("alice-secret", "user", "add", "alice", "team/**", "--password-stdin")
	r.ok("bob-secret", "user", "add", "bob", "bob/**", "--password-stdin")
	key := r.ok("", "key", "add", "ci", "team/app")
	r.start()
	image := "oci-archive:" + archive(t)
	for _, row := range []struct {
		creds string
		args  []string
		works bool
	}{
		{"alice:alice-secret", []string{"copy", "--dest-tls-verify=false", image, "docker://" + r.host + "/team/app:1"}, true},
		{"bob:bob-secret", []string{"copy", "--dest-tls-verify=false", image, "docker://" + r.host + "/team/app:2"}, false},
		{"ci:" + key, []string{"copy", "--dest-tls-verify=false", image, "docker://" + r.host + "/team/app:3"}, false},
		{"ci:" + key, []string{"inspect", "--tls-verify=false", "docker://" + r.host + "/team/app:1"}, true},
		{"bob:bob-secret", []string{"inspect", "--tls-verify=false", "docker://" + r.host + "/team/app:1"}, false},
		{"alice:wrong", []string{"inspect", "--tls-verify=false", "docker://" + r.host + "/team/app:1"}, false},
		{"", []string{"inspect", "--tls-verify=false", "docker://" + r.host + "/team/app:1"}, false},
		{"ci:" + key, []string{"delete", "--tls-verify=false", "docker://" + r.host + "/team/app:1"}, false},
	} {
		args := row.args
		if row.creds != "" {
			flag := "--creds"
			if args[0] == "copy" {
				flag = "--dest-creds"
			}
			args = append([]string{args[0], flag, row.creds}, args[1:]...)
		}
		if out, err := skopeo(t, args...); (err == nil) != row.works {
			t.Errorf("%s: skopeo %s: %v\n%s", row.creds, row.args[0], err, out)
		}
	}
	t.Run("docker and berth", func(t *testing.T) { dockerAndBerth(t, e, r, key) })
	t.Run("reload", func(t *testing.T) {
		file := filepath.Join(r.dir, "rights")
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(before, "allow bob pull te"...), 0o600); err != nil {
			t.Fatal(err)
		}
		if status, _, _ := r.request("GET", "/v2/team/app/tags/list", "alice:alice-secret", nil); status != 200 {
			t.Errorf("a torn file took rights away: %d", status)
		}
		if out, err := r.run("", "check"); err == nil || !strings.Contains(out, "column") {
			t.Errorf("check: %v %s", err, out)
		}
		if err := os.WriteFile(file, append(before, "allow bob pull team/*\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		if status, _, _ := r.request("GET", "/v2/team/app/tags/list", "bob:bob-secret", nil); status != 200 {
			t.Errorf("the new rule does not count: %d", status)
		}
		r.kill()
		if log := r.log.String(); strings.Count(log, "is not taken") != 1 || !strings.Contains(log, "line 10, column 18") {
			t.Errorf("%s", log)
		}
	})
}

// dockerAndBerth log in with the stock CLI and ours, and use what they may.
func dockerAndBerth(t *testing.T, e *harness.Engine, r *registry, key string) {
	app := r.host + "/team/app:1"
	if got := e.Docker("pull", app); got.Code == 0 {
		t.Error("pulled without a login")
	}
	e.DockerOK("login", "-u", "ci", "-p", key, r.host)
	e.DockerOK("pull", app)
	e.DockerOK("tag", app, r.host+"/team/app:4")
	if got := e.Docker("push", r.host+"/team/app:4"); got.Code == 0 {
		t.Error("pushed with a key")
	}
	e.DockerOK("login", "-u", "alice", "-p", "alice-secret", r.host)
	e.DockerOK("push", r.host+"/team/app:4")
	e.OK("rmi", "-f", app, r.host+"/team/app:4")
	e.OK("pull", r.host+"/team/app:4")
}

func TestUploadSurvivesKill(t *testing.T) {
	r := newRegistry(t, t.TempDir())
	r.start()
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	sum := fmt.Sprintf("sha256:%x", sha256.Sum256(content))
	_, _, h := r.request("POST", "/v2/app/blobs/uploads/", "", nil)
	where := func(h map[string][]string) string { return h["Location"][0] }
	status, body, h := r.request("PATCH", where(h), "", bytes.NewReader(content[:1<<20]))
	if status != 202 {
		t.Fatalf("%d %s", status, body)
	}
	// Killed while the next piece is on its way.
	in, out := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.request("PATCH", where(h), "", in)
	}()
	if _, err := out.Write(content[1<<20 : 1<<20+1<<16]); err != nil {
		t.Fatal(err)
	}
	r.kill()
	out.CloseWithError(io.ErrUnexpectedEOF)
	<-done
	r.start()
	status, body, h = r.request("GET", where(h), "", nil)
	var offset int
	if _, err := fmt.Sscanf(h.Get("Range"), "0-%d", &offset); err != nil || status != 204 {
		t.Fatalf("%d %s %v", status, body, h)
	}
	if offset+1 < 1<<20 {
		t.Fatalf("lost what it had taken: %d", offset)
	}
	status, body, h = r.request("PATCH", where(h), "", bytes.NewReader(content[offset+1:]))
	if status != 202 {
		t.Fatalf("%d %s", status, body)
	}
	if status, body, _ = r.request("PUT", where(h)+"&digest="+sum, "", nil); status != 201 {
		t.Fatalf("%d %s", status, body)
	}
	if status, body, _ = r.request("GET", "/v2/app/blobs/"+sum, "", nil); status != 200 || body != string(content) {
		t.Errorf("%d, %d bytes", status, len(body))
	}
}

// push pushes an image of one blob and returns the last status.
func (r *registry) push(repository, tag string, content []byte) (int, string) {
	sum := fmt.Sprintf("sha256:%x", sha256.Sum256(content))
	status, body, h := r.request("POST", "/v2/"+repository+"/blobs/uploads/", "", nil)
	if status != 202 {
		return status, body
	}
	if status, body, _ = r.request("PUT", h.Get("Location")+"&digest="+sum, "", bytes.NewReader(content)); status != 201 {
		return status, body
	}
	m, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": map[string]any{"mediaType": "application/x", "digest": sum, "size": len(content)}, "layers": []any{}})
	if err != nil {
		return 0, err.Error()
	}
	status, body, _ = r.request("PUT", "/v2/"+repository+"/manifests/"+tag, "", bytes.NewReader(m))
	return status, body
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("registry", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	r := newRegistry(t, dir)
	r.start()
	if status, body := r.push("app", "small", []byte("small")); status != 201 {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := r.push("app", "big", make([]byte, 8<<20)); status != 507 || strings.Contains(body, dir) {
		t.Errorf("a full disk: %d %s", status, body)
	}
	if status, _, _ := r.request("GET", "/v2/app/manifests/small", "", nil); status != 200 {
		t.Errorf("what was there can't be pulled: %d", status)
	}
	// Room is made by giving up the upload that did not fit.
	r.ok("", "gc", "--uploads", "0s", "--grace", "0s")
	if status, body := r.push("app", "again", make([]byte, 1<<20)); status != 201 {
		t.Errorf("%d %s", status, body)
	}
	r.kill()
}

// 300 pushes run at once beside a collection that would take all they bring,
// and the registry is killed in the middle; then everything that was taken is whole.
func TestManyPushesAndKill(t *testing.T) {
	r := newRegistry(t, t.TempDir())
	r.start()
	push := func(n int) (failed int) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		for i := range n {
			wg.Go(func() {
				if status, body := r.push(fmt.Sprintf("app%d", i%10), fmt.Sprintf("v%d", i), []byte(fmt.Sprintf("content %d", i))); status != 201 {
					mu.Lock()
					defer mu.Unlock()
					failed++
					if failed == 1 {
						t.Logf("%d %s", status, body)
					}
				}
			})
		}
		wg.Go(func() { _, _ = r.run("", "gc", "--untagged", "--uploads", "1h") }) // it may be killed
		wg.Wait()
		return failed
	}
	if failed := push(300); failed > 0 {
		t.Errorf("%d of 300 pushes failed", failed)
	}
	done := make(chan int)
	go func() { done <- push(100) }()
	harness.Eventually(t, "a push", func() bool {
		files, err := filepath.Glob(filepath.Join(r.dir, "data/docker/registry/v2/repositories/app9/_uploads/*"))
		return err == nil && len(files) > 0
	})
	r.kill()
	<-done
	r.start()
	if out := r.ok("", "check", "--deep"); strings.Contains(out, "WRONG") {
		t.Errorf("%s", out)
	}
	if failed := push(20); failed > 0 {
		t.Errorf("%d pushes failed after the kill", failed)
	}
	r.ok("", "gc", "--untagged", "--uploads", "0s", "--grace", "0s")
	if out := r.ok("", "check", "--deep"); !strings.Contains(out, "300 manifests") {
		t.Errorf("%s", out)
	}
}
