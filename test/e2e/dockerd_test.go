package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// A script that starts a dockerd of its own gets an engine that does its work, by
// flags and a file of which this engine knows half.
func TestAsDockerd(t *testing.T) {
	e := engine(t) // whose image is loaded, and whose lab this is
	dir := t.TempDir()
	name := filepath.Join(dir, "dockerd")
	if err := os.Symlink(harness.Bin(t, "berthd"), name); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "daemon.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"storage-driver":"overlay2","labels":["team=a"],"log-opts":{"max-size":"1m"},"features":{"buildkit":true}}`)
	sock, pidfile := filepath.Join(dir, "docker.sock"), filepath.Join(dir, "docker.pid")
	args := []string{"--config-file", file, "--data-root", filepath.Join(dir, "root"), "--exec-root", filepath.Join(dir, "exec"), "-H", "unix://" + sock, "-p", pidfile,
		"--userland-proxy=true", "--containerd-namespace=x", "--iptables", "--cgroup-parent", e.CgroupParent + "-dockerd", "--metrics-addr", "127.0.0.1:19323", "--bip", "10.87.0.1/24", "--debug=false"}
	out, err := exec.Command(name, append(args, "--validate")...).CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "configuration OK\n") {
		t.Fatalf("--validate: %s %v", out, err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := func() string { b, _ := os.ReadFile(log.Name()); return string(b) }
	docker := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("docker", append([]string{"-H", "unix://" + sock}, args...)...).CombinedOutput()
		if err != nil {
			t.Errorf("docker %v: %s %v\n%s", args, out, err, said())
		}
		return strings.TrimSpace(string(out))
	}
	harness.Eventually(t, "it to answer", func() bool { return exec.Command("docker", "-H", "unix://"+sock, "version").Run() == nil })
	tarball := filepath.Join(dir, "busybox.tar")
	e.OK("save", "-o", tarball, "busybox")
	docker("load", "-i", tarball)
	if got := docker("run", "--rm", "busybox", "echo", "works"); got != "works" {
		t.Errorf("run: %s", got)
	}
	if got := docker("info", "-f", "{{.Labels}} {{.LoggingDriver}} {{.DockerRootDir}}"); got != "[team=a] json-file "+filepath.Join(dir, "root") {
		t.Errorf("info: %s", got)
	}
	if got := docker("network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}}{{end}}", "bridge"); got != "10.87.0.0/24" {
		t.Errorf("subnet: %s", got)
	}
	for _, warned := range []string{"userland-proxy", "containerd-namespace", "storage-driver", "features"} {
		if strings.Count(said(), "setting "+warned+" has no effect") != 1 {
			t.Errorf("not one warning of %s in %s", warned, said())
		}
	}
	checkMetrics(t)
	write(`{"log-level":"debug"}`)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the file to be read again", func() bool { return strings.Contains(said(), "log-level=DEBUG") })
	docker("run", "-d", "--name", "old", "--restart", "always", "busybox", "sleep", "300")
	docker("rm", "-f", "old")
	endDockerd(t, cmd, filepath.Join(dir, "exec"))
	if _, err := os.Stat(pidfile); err == nil {
		t.Error("its pidfile stays")
	}
	if out, err := exec.Command(name, "--no-such").CombinedOutput(); err == nil || !strings.Contains(string(out), "no-such") {
		t.Errorf("%s %v", out, err)
	}
}

func checkMetrics(t *testing.T) {
	t.Helper()
	page := get(t, "http://127.0.0.1:19323/metrics")
	for _, want := range []string{`engine_daemon_container_states_containers{state="running"} 0`, `berth_api_request_seconds_count{operation="ContainerCreate"} 1`, `berth_start_seconds{phase="containers"} `, "berth_images ", "berth_networks 3"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in\n%s", want, page)
		}
	}
}

func endDockerd(t *testing.T, cmd *exec.Cmd, execRoot string) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v", err)
	}
	if pid := harness.Find("berth-shim", execRoot); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		harness.Eventually(t, "its shim to end", func() bool { return syscall.Kill(pid, 0) != nil })
	}
}
