package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/berth-containers/berth/test/harness"
)

// system is one engine with its client.
type system struct {
	name   string
	client []string
	env    []string
	root   string // a path that its processes' command lines have in them
}

// do runs the client and waits for it.
func (s *system) do(args ...string) error {
	_, err := s.output(args...)
	return err
}

func (s *system) output(args ...string) (string, error) {
	argv := append(append([]string{}, s.client...), args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), s.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// start starts Berth and the peers and gives each the image busybox.
func start(work string, peers []string) (systems []*system, stop func(), err error) {
	var running []*exec.Cmd
	stop = func() {
		for _, s := range systems {
			if ids, err := s.output("ps", "-aq"); err == nil && ids != "" {
				_ = s.do(append([]string{"rm", "-f"}, strings.Fields(ids)...)...)
			}
		}
		for _, cmd := range running {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}
	}
	image, err := harness.BusyboxTar()
	if err != nil {
		return nil, stop, err
	}
	tarball := filepath.Join(work, "busybox.tar")
	if err := os.WriteFile(tarball, image, 0o644); err != nil {
		return nil, stop, err
	}
	berth, daemon := berthSystem(work)
	all := map[string]func() (*system, *exec.Cmd){
		"docker": func() (*system, *exec.Cmd) { return dockerSystem(work) },
		"podman": func() (*system, *exec.Cmd) { return podmanSystem(work), nil },
	}
	systems, running = append(systems, berth), append(running, daemon)
	for _, name := range peers {
		if make := all[name]; make != nil {
			s, cmd := make()
			systems = append(systems, s)
			if cmd != nil {
				running = append(running, cmd)
			}
		}
	}
	for _, cmd := range running {
		log, err := os.Create(filepath.Join(work, filepath.Base(cmd.Path)+".log"))
		if err != nil {
			return systems, stop, err
		}
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			return systems, stop, err
		}
	}
	for _, s := range systems {
		if err := s.await(); err != nil {
			return systems, stop, err
		}
		if err := s.do("import", tarball, "busybox:latest"); err != nil {
			return systems, stop, err
		}
	}
	return systems, stop, nil
}

func (s *system) await() error {
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = s.do("version"); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s does not answer: %w", s.name, err)
}

func berthSystem(work string) (*system, *exec.Cmd) {
	bin, root := os.Getenv("BERTH_BIN"), filepath.Join(work, "berth")
	sock := "unix://" + filepath.Join(work, "berth.sock")
	s := &system{name: "berth", client: []string{filepath.Join(bin, "berth")}, env: []string{"BERTH_HOST=" + sock}, root: root}
	return s, exec.Command(filepath.Join(bin, "berthd"), "--data-root", root, "--exec-root", root+"-run", "--host", sock,
		"--cgroup-parent", fmt.Sprintf("/berth-bench-%d", time.Now().UnixNano()))
}

func dockerSystem(work string) (*system, *exec.Cmd) {
	root := filepath.Join(work, "docker")
	sock := "unix://" + filepath.Join(work, "docker.sock")
	s := &system{name: "docker", client: []string{"docker"}, env: []string{"DOCKER_HOST=" + sock}, root: root}
	return s, exec.Command("/usr/sbin/dockerd", "--data-root", root, "--exec-root", root+"-run", "-H", sock,
		"--pidfile", filepath.Join(work, "docker.pid"), "--bip", "172.31.240.1/20",
		"--cgroup-parent", fmt.Sprintf("/docker-bench-%d", time.Now().UnixNano()))
}

func podmanSystem(work string) *system {
	root := filepath.Join(work, "podman")
	return &system{name: "podman", root: root, client: []string{"podman", "--root", root, "--runroot", root + "-run",
		"--tmpdir", root + "-tmp", "--cgroup-manager", "cgroupfs", "--events-backend", "file"}}
}
