package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	root   string   // a path that its processes' command lines have in them
	place  *place   // where the client runs
	cgroup string   // parent of its containers' groups
	rm     []string // removes what runs, without a term of grace
}

// do runs the client and waits for it.
func (s *system) do(args ...string) error {
	_, err := s.output(args...)
	return err
}

func (s *system) remove(containers ...string) error {
	return s.do(append(slices.Clone(s.rm), containers...)...)
}

func (s *system) output(args ...string) (string, error) {
	argv := append(append([]string{}, s.client...), args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), s.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := s.place.run(cmd); err != nil {
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
				_ = s.remove(strings.Fields(ids)...)
			}
		}
		for _, cmd := range running {
			if cmd.Process != nil {
				_ = cmd.Process.Signal(syscall.SIGTERM)
				_ = cmd.Wait()
			}
		}
		for _, s := range systems {
			removeCgroup(s.cgroup)
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
	systems, running = append(systems, berth), append(running, daemon)
	if slices.Contains(peers, "docker") {
		s, cmd := dockerSystem(work)
		systems, running = append(systems, s), append(running, cmd)
	}
	if slices.Contains(peers, "podman") {
		s, err := podmanSystem(work)
		if err != nil {
			return systems, stop, err
		}
		systems = append(systems, s)
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
	s := &system{name: "berth", client: []string{filepath.Join(bin, "berth")}, env: []string{"BERTH_HOST=" + sock, "DOCKER_HOST=" + sock}, root: root, cgroup: cgroup("berth"), rm: []string{"rm", "-f"}}
	return s, exec.Command(filepath.Join(bin, "berthd"), "--data-root", root, "--exec-root", root+"-run", "--host", sock,
		"--cgroup-parent", s.cgroup)
}

func dockerSystem(work string) (*system, *exec.Cmd) {
	root := filepath.Join(work, "docker")
	sock := "unix://" + filepath.Join(work, "docker.sock")
	s := &system{name: "docker", client: []string{"docker"}, env: []string{"DOCKER_HOST=" + sock}, root: root, cgroup: cgroup("docker"), rm: []string{"rm", "-f"}}
	return s, exec.Command("/usr/sbin/dockerd", "--data-root", root, "--exec-root", root+"-run", "-H", sock,
		"--pidfile", filepath.Join(work, "docker.pid"), "--bip", "172.31.240.1/20", "--cgroup-parent", s.cgroup)
}

func podmanSystem(work string) (*system, error) {
	p, err := newPlace(forPodman)
	root := filepath.Join(work, "podman")
	return &system{name: "podman", root: root, place: p, cgroup: "/libpod_parent", rm: []string{"rm", "-f", "-t", "0"}, client: []string{"podman", "--root", root, "--runroot", root + "-run",
		"--tmpdir", root + "-tmp", "--network-config-dir", root + "-networks", "--cgroup-manager", "cgroupfs", "--events-backend", "file"}}, err
}

func cgroup(name string) string { return fmt.Sprintf("/%s-bench-%d", name, time.Now().UnixNano()) }
