package dockercli

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-containers/berth/test/harness"
)

// apiVersion is the newest that Debian's dockerd speaks: both are asked for the same.
const apiVersion = "1.41"

// player plays commands to one engine.
type player struct {
	socket string
	home   string   // HOME and working folder of the commands
	enter  []string // the command that runs others in the engine's network
}

// debian starts Debian's dockerd in network, mount and process namespaces of its
// own, which end with it.
func debian(t *testing.T) player {
	t.Helper()
	for _, name := range []string{"dockerd", "containerd", "iptables"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%v (packages docker.io and iptables)", err)
		}
	}
	dir, err := os.MkdirTemp("", "dockerd-test-")
	if err != nil {
		t.Fatal(err)
	}
	cgroup := filepath.Base(dir)
	p := player{socket: filepath.Join(dir, "docker.sock"), home: filepath.Join(dir, "home")}
	registries := strings.Join(registryCommands(t), " & ")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "sh", "-c",
		fmt.Sprintf("mount -t tmpfs none /run && ip link set lo up && { %[3]s & exec dockerd --data-root %[1]s/root --exec-root %[1]s/exec --pidfile %[1]s/pid --host unix://%[1]s/docker.sock --cgroup-parent /%[2]s; }", dir, cgroup, registries))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		log.Close()
		harness.Eventually(t, "dockerd's cgroups to go", func() bool { return removeCgroups(cgroup) })
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("dockerd's log ends:\n%s", b[max(0, len(b)-2000):])
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	harness.Eventually(t, "dockerd to answer", func() bool { return p.play("docker version").code == 0 })
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	p.enter = []string{"nsenter", "--net", "--target", strings.Fields(string(children))[0], "--"}
	return p
}

// registryCommands are two of Debian's registries: localhost:5000 is open,
// localhost:5001 for user:secret.
func registryCommands(t *testing.T) (commands []string) {
	t.Helper()
	for port, auth := range map[int]string{5000: "", 5001: "auth:\n  htpasswd:\n    realm: test\n    path: %s\n"} {
		dir := t.TempDir()
		users := filepath.Join(dir, "users")
		if auth != "" {
			auth = fmt.Sprintf(auth, users)
		}
		config := fmt.Sprintf("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s\nlog:\n  level: error\nhttp:\n  addr: 127.0.0.1:%d\n%s", filepath.Join(dir, "data"), port, auth)
		for file, text := range map[string]string{"config": config, "users": "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		commands = append(commands, "docker-registry serve "+filepath.Join(dir, "config"))
	}
	return commands
}

// registries runs the two in the lab's own network.
func registries(t *testing.T) {
	t.Helper()
	for _, line := range registryCommands(t) {
		cmd := exec.Command("sh", "-c", "exec "+line)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
}

// removeCgroups removes what dockerd leaves, and says if nothing is left.
func removeCgroups(name string) bool {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
	unified, _ := filepath.Glob("/sys/fs/cgroup/" + name)
	clean := true
	for _, root := range append(roots, unified...) {
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs)
		for _, d := range dirs {
			_ = syscall.Rmdir(d)
		}
		if _, err := os.Stat(root); err == nil {
			clean = false
		}
	}
	return clean
}

// outcome is what a command did.
type outcome struct {
	out, err string
	code     int
}

// play runs a line of shell in which docker means the engine.
func (p player) play(line string) outcome {
	if err := os.MkdirAll(p.home, 0o755); err != nil {
		return outcome{err: err.Error(), code: -1}
	}
	cmd, cancel := p.command(line)
	defer cancel()
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return outcome{p.normal(out.String()), p.normal(errs.String()), cmd.ProcessState.ExitCode()}
}

// raw is the output of a line of shell as it is.
func (p player) raw(line string) ([]byte, error) {
	cmd, cancel := p.command(line)
	defer cancel()
	return cmd.Output()
}

func (p player) command(line string) (*exec.Cmd, context.CancelFunc) {
	args := append(p.enter[:len(p.enter):len(p.enter)], "timeout", "-k", "1", "40", "bash", "-c", line)
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.WaitDelay = time.Second // something of it may outlive the shell
	cmd.Dir = p.home
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+p.socket, "DOCKER_API_VERSION="+apiVersion, "HOME="+p.home, "DOCKER_CLI_HINTS=false", "TZ=UTC")
	return cmd, cancel
}
