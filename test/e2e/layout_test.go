package e2e

import (
	"bytes"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// At any moment of a loop of pulls and removals, the store is a layout in which
// skopeo finds an image that stays; one that comes and goes is there or not.
// The images come with Docker's media types.
func TestLayoutWhilePulling(t *testing.T) {
	e := engine(t)
	registry := harness.Registry(t)
	push := func(name string, layers ...[]byte) string {
		t.Helper()
		ref := registry + "/" + name
		cmd := e.Command("berth", "load")
		cmd.Stdin = bytes.NewReader(harness.Archive(t, ref, layers...))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("load: %v\n%s", err, out)
		}
		e.OK("push", ref)
		e.OK("rmi", ref)
		// The registry's copy has Docker's types, by skopeo.
		inDocker(t, ref)
		return ref
	}
	stays := push("stays:1", harness.Layers(t, 2, 64<<10)...)
	goes := push("goes:1", harness.Layers(t, 3, 256<<10)...)
	e.OK("pull", "-q", stays)
	if got := e.DockerOK("image", "inspect", "-f", "{{.Descriptor.mediaType}}", stays); !strings.HasPrefix(got, "application/vnd.docker.") {
		t.Fatalf("the image did not come with Docker's types: %s", got)
	}
	ended := make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() {
		defer close(ended)
		for range 15 {
			if r := e.Berth("pull", "-q", goes); r.Code != 0 {
				t.Errorf("pull: %+v", r)
			}
			if r := e.Berth("rmi", goes); r.Code != 0 {
				t.Errorf("rmi: %+v", r)
			}
		}
	})
	looks := 0
	for done := false; !done; looks++ {
		select {
		case <-ended:
			done = true
		default:
		}
		if out, err := exec.Command("skopeo", "inspect", "oci:"+e.DataRoot+"/images:"+stays).CombinedOutput(); err != nil {
			t.Errorf("skopeo inspect: %v\n%s", err, out)
		}
	}
	loop.Wait()
	t.Logf("%d looks", looks)
	for _, args := range [][]string{
		{"skopeo", "copy", "oci:" + e.DataRoot + "/images:" + stays, "dir:" + t.TempDir()},
		{"umoci", "stat", "--image", e.DataRoot + "/images:" + stays},
		{"umoci", "ls", "--layout", e.DataRoot + "/images"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

// inDocker replaces an image of a registry by itself with Docker's media types.
func inDocker(t *testing.T, ref string) {
	t.Helper()
	cmd := exec.Command("skopeo", "copy", "-q", "--format", "v2s2", "--src-tls-verify=false", "--dest-tls-verify=false", "docker://"+ref, "docker://"+ref)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
