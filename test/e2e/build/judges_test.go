package build

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

const judgeCgroup = "/berth-judge"

// daemon runs a judge until the test ends.
func daemon(t *testing.T, socket string, cmd *exec.Cmd) {
	t.Helper()
	log, err := os.Create(socket + ".log")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, dir := range slices.Backward(harness.Cgroups(judgeCgroup)) {
			_ = os.Remove(dir)
		}
	})
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("the end of the judge's log:\n%s", b[max(0, len(b)-4000):])
		}
		log.Close()
	})
	harness.Eventually(t, "the judge's socket", func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// upstream is BuildKit itself, by buildx (make bin/buildkitd bin/docker-buildx).
func upstream(t *testing.T, p *place) builder {
	t.Helper()
	root := filepath.Join(p.dir, "buildkit")
	socket := filepath.Join(p.dir, "buildkit.sock")
	registry := harness.Registry(t)
	if err := run(exec.Command("skopeo", "copy", "-q", "--dest-tls-verify=false", "oci-archive:"+p.base, "docker://"+registry+"/library/busybox:latest")); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(p.dir, "buildkitd.toml")
	text := fmt.Sprintf("[worker.oci]\n  snapshotter = \"overlayfs\"\n  defaultCgroupParent = %q\n[registry.\"docker.io\"]\n  mirrors = [%q]\n[registry.%q]\n  http = true\n", judgeCgroup, registry, registry)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon(t, socket, exec.Command(harness.Bin(t, "buildkitd"), "--config", config, "--root", root, "--addr", "unix://"+socket,
		"--containerd-worker=false", "--oci-worker-net", "host", "--oci-worker-binary", "runc", "--allow-insecure-entitlement", "security.insecure"))
	command := func(dir string, args ...string) *exec.Cmd {
		cmd := exec.Command(harness.Bin(t, "docker-buildx"), args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+p.dir, "DOCKER_CONFIG="+p.dir)
		return cmd
	}
	if err := run(command(p.dir, "create", "--name", "judge", "--driver", "remote", "unix://"+socket)); err != nil {
		t.Fatal(err)
	}
	return func(_ *testing.T, context string, args []string, archive string) error {
		all := append([]string{"build", "--builder", "judge", "--provenance=false", "--output", "type=oci,dest=" + archive}, args...)
		return run(command(context, append(all, ".")...))
	}
}

// debian is Debian's dockerd with its own builder.
func debian(t *testing.T, p *place) builder {
	t.Helper()
	root := filepath.Join(p.dir, "docker")
	socket := filepath.Join(p.dir, "docker.sock")
	daemon(t, socket, exec.Command("dockerd", "--data-root", root, "--exec-root", root+"-run", "-H", "unix://"+socket,
		"--pidfile", root+".pid", "--bip", "172.31.240.1/20", "--cgroup-parent", judgeCgroup))
	command := func(dir string, args ...string) *exec.Cmd {
		cmd := exec.Command("docker", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+p.dir, "DOCKER_HOST=unix://"+socket, "DOCKER_BUILDKIT=0")
		return cmd
	}
	load := filepath.Join(p.dir, "docker-busybox.tar")
	if err := run(exec.Command("skopeo", "copy", "-q", "oci-archive:"+p.base, "docker-archive:"+load+":busybox:latest")); err != nil {
		t.Fatal(err)
	}
	if err := run(command(p.dir, "load", "-i", load)); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T, context string, args []string, archive string) error {
		all := append([]string{"build", "--network", "host", "-t", tag(t)}, args...)
		if err := run(command(context, append(all, ".")...)); err != nil {
			return err
		}
		return run(command(context, "save", "-o", archive, tag(t)))
	}
}
