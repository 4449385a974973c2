package bootstrap

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/mount"
)

// joinNamespaces opens them all before it joins the first, which may change
// what paths mean.
func joinNamespaces(joins []wire.Join) error {
	fds := make([]int, len(joins))
	for i, j := range joins {
		fd, err := unix.Open(j.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open namespace %s: %w", j.Path, err)
		}
		fds[i] = fd
		defer unix.Close(fd)
	}
	for i, j := range joins {
		if j.Flag == unix.CLONE_NEWNS {
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return fmt.Errorf("leave the shared file system state: %w", err)
			}
		}
		if err := unix.Setns(fds[i], j.Flag); err != nil {
			return fmt.Errorf("join namespace %s: %w", j.Path, err)
		}
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

func setNames(host, domain string) error {
	if host != "" {
		if err := unix.Sethostname([]byte(host)); err != nil {
			return fmt.Errorf("set hostname %s: %w", host, err)
		}
	}
	if domain != "" {
		if err := unix.Setdomainname([]byte(domain)); err != nil {
			return fmt.Errorf("set domainname %s: %w", domain, err)
		}
	}
	return nil
}

// kernelSettings writes the sysctls and the process's own settings.
func (s *starter) kernelSettings() error {
	for _, sysctl := range s.config.Sysctl {
		if err := writeProc(sysctl.File, sysctl.Value); err != nil {
			return fmt.Errorf("set sysctl %s=%s: %w", sysctl.Name, sysctl.Value, err)
		}
	}
	return s.ownSettings()
}

// ownSettings writes what /proc has of the process itself.
func (s *starter) ownSettings() error {
	if err := s.oomScore(); err != nil {
		return err
	}
	return s.config.Attributes.Label.SetExec()
}

func (s *starter) oomScore() error {
	score := s.config.Process.OOMScoreAdj
	if score == nil {
		return nil
	}
	err := writeProc("/proc/self/oom_score_adj", strconv.Itoa(*score))
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		s.warn("oom_score_adj %d was not set: it needs CAP_SYS_RESOURCE", *score)
		return nil
	}
	if err != nil {
		return fmt.Errorf("set oom_score_adj %d: %w", *score, err)
	}
	return nil
}

func writeProc(path, value string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return err
	}
	if fs.Type != unix.PROC_SUPER_MAGIC {
		return fmt.Errorf("%s is not of the kernel's proc", path)
	}
	_, err = unix.Write(fd, []byte(value))
	return err
}

// workingDir changes to the working directory, made if need be, and checks that
// it lies below the root: a descriptor that leaked would be a way out.
func (s *starter) workingDir() error {
	dir := s.config.Process.Cwd
	if dir == "" {
		dir = "/"
	}
	err := changeDir(dir, !s.config.Exec)
	if err != nil {
		return &wire.Failure{Cause: cause(err), Message: fmt.Sprintf("chdir to cwd (%q) set in config.json: %v", dir, err)}
	}
	var buf [unix.PathMax]byte
	n, err := unix.Getcwd(buf[:])
	if err != nil || n < 1 || buf[0] != '/' {
		return errors.New("the working directory is not below the container's root")
	}
	return nil
}

// changeDir follows no link of /proc to a descriptor or another process, and
// makes nothing through one.
func changeDir(dir string, create bool) error {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	fd, err := mount.OpenIn(root, dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOENT) && create {
		fd, err = mount.Mkdir(root, dir)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fchdir(fd)
}

func cause(err error) wire.Cause {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return wire.NotFound
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.ELOOP):
		return wire.Denied
	}
	return wire.Internal
}
