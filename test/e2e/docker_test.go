package e2e

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// The stock CLI's verbs, one after the other, as a user types them.
func TestDockerCLI(t *testing.T) {
	e := engine(t)
	if got := e.DockerOK("run", "--rm", "busybox", "echo", "hi"); got != "hi" {
		t.Errorf("run: %q", got)
	}
	for code, cmd := range map[int][]string{127: {"nosuch"}, 126: {"/etc/notprogram"}, 3: {"sh", "-c", "exit 3"}} {
		if r := e.Docker(append([]string{"run", "--rm", "busybox"}, cmd...)...); r.Code != code {
			t.Errorf("run %v: exit %d; want %d: %s", cmd, r.Code, code, r.Err)
		}
	}
	id := e.DockerOK("run", "-d", "--name", "web", "-p", "127.0.0.1::80", "--label", "a=b", "busybox", "sh", "-c", "echo started; exec httpd -f -h /www")
	if out := e.DockerOK("ps", "--filter", "label=a=b"); !strings.Contains(out, "web") || !strings.Contains(out, "->80/tcp") {
		t.Errorf("ps: %s", out)
	}
	if got := e.DockerOK("port", "web", "80"); !strings.HasPrefix(got, "127.0.0.1:") {
		t.Errorf("port: %s", got)
	}
	harness.Eventually(t, "the log line", func() bool { return e.DockerOK("logs", "web") == "started" })

	follow := e.Command("docker", "logs", "-f", "web")
	var out bytes.Buffer
	follow.Stdout = &out
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	if got := e.DockerOK("exec", "-e", "X=1", "web", "sh", "-c", "echo $X"); got != "1" {
		t.Errorf("exec: %q", got)
	}
	if out := e.DockerOK("top", "web"); !strings.Contains(out, "httpd") {
		t.Errorf("top: %s", out)
	}
	var inspected []struct {
		ID    string `json:"Id"`
		State struct{ Status string }
	}
	if err := json.Unmarshal([]byte(e.DockerOK("inspect", "web")), &inspected); err != nil || inspected[0].ID != id {
		t.Errorf("inspect: %v %+v", err, inspected)
	}
	e.DockerOK("stop", "-t", "1", "web")
	if err := follow.Wait(); err != nil || !strings.Contains(out.String(), "started") {
		t.Errorf("logs -f: %v %q", err, out.String())
	}
	if got := e.DockerOK("wait", "web"); got != "137" {
		t.Errorf("wait: %s", got)
	}
	e.DockerOK("start", "web")
	e.DockerOK("restart", "-t", "0", "web")
	e.DockerOK("rename", "web", "web2")
	e.DockerOK("kill", "web2")
	e.DockerOK("rm", "-f", "web2")
	if r := e.Docker("rm", "web2"); r.Code != 1 || !strings.Contains(r.Err, "No such container: web2") {
		t.Errorf("rm of nothing: %+v", r)
	}
	for _, args := range [][]string{{"version"}, {"info"}, {"images"}, {"image", "inspect", "busybox"}, {"volume", "ls"}, {"network", "ls"}} {
		e.DockerOK(args...)
	}
	if out := e.DockerOK("images", "--format", "{{.Repository}}:{{.Tag}}"); !strings.Contains(out, "busybox:latest") {
		t.Errorf("images: %s", out)
	}
	if out := e.DockerOK("version", "--format", "{{.Server.APIVersion}}"); out == "" {
		t.Error("no server version")
	}
}

func TestDockerLoadSave(t *testing.T) {
	e := engine(t)
	dir := t.TempDir()
	before := e.DockerOK("image", "inspect", "-f", "{{.Id}}", "busybox")
	e.DockerOK("save", "-o", dir+"/box.tar", "busybox")
	if out, err := exec.Command("skopeo", "inspect", "docker-archive:"+dir+"/box.tar").CombinedOutput(); err != nil {
		t.Errorf("skopeo cannot read what save wrote: %v\n%s", err, out)
	}
	e.DockerOK("rmi", "busybox")
	if r := e.Docker("image", "inspect", "busybox"); r.Code == 0 {
		t.Error("the image is still there")
	}
	e.DockerOK("load", "-i", dir+"/box.tar")
	if after := e.DockerOK("image", "inspect", "-f", "{{.Id}}", "busybox"); after != before {
		t.Errorf("load: %s; before %s", after, before)
	}
	if out, err := exec.Command("skopeo", "copy", "docker-archive:"+dir+"/box.tar", "oci-archive:"+dir+"/oci.tar:skopeo/box:1").CombinedOutput(); err != nil {
		t.Fatalf("skopeo copy: %v\n%s", err, out)
	}
	e.DockerOK("load", "-i", dir+"/oci.tar")
	if got := e.DockerOK("run", "--rm", "busybox", "echo", "loaded"); got != "loaded" {
		t.Errorf("run: %q", got)
	}
	if out, err := exec.Command("skopeo", "inspect", "oci:"+e.DataRoot+"/images:busybox:latest").CombinedOutput(); err != nil {
		t.Logf("%s", out)
		t.Errorf("skopeo cannot read the store: %v", err)
	}
}
