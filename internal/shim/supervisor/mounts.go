package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/shim"
)

// mounts hands over the mount namespace of a container.
func (s *Server) mounts(ctx context.Context, conn *net.UnixConn, r shim.Request) {
	var ns *os.File
	told := answer(conn, r, func(q shim.MountsRequest) (_ any, err error) {
		if q.Spec == nil {
			ns, err = s.mountsOf(key{q.ID, ""})
		} else {
			ns, err = s.borrow(ctx, q)
		}
		return nil, err
	})
	if ns == nil {
		return
	}
	defer ns.Close()
	if !told {
		return
	}
	if err := shim.WriteHold(conn, shim.HoldFrame{Op: shim.HoldKeep}, ns); err != nil {
		s.log.Warn("hand over a mount namespace", "error", err)
	}
}

// mountsOf opens the mount namespace of a container that runs.
func (s *Server) mountsOf(k key) (*os.File, error) {
	p := s.running(k)
	if p == nil {
		return nil, notFound(k)
	}
	ns, err := openMounts(p.snapshot().Pid)
	if err != nil {
		return nil, err
	}
	// There after that, so the number was not another's.
	if err := signal(p, 0); err != nil {
		ns.Close()
		return nil, err
	}
	return ns, nil
}

func openMounts(pid int) (*os.File, error) {
	ns, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/mnt")
	if err != nil {
		return nil, fmt.Errorf("open the container's mount namespace: %w", err)
	}
	return ns, nil
}

// borrow makes the mounts of a container that does not run. The init that made
// them ends at once; they stay as long as their descriptor does.
func (s *Server) borrow(ctx context.Context, q shim.MountsRequest) (*os.File, error) {
	if err := checkID(q.ID); err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	if q.Spec.Process == nil || q.Spec.Linux == nil || q.Spec.Process.Terminal || q.Spec.Linux.CgroupsPath != "" {
		return nil, errdefs.ErrInvalidArgument.WithMessage("mounts are borrowed without a terminal and a cgroup")
	}
	made, err := s.runtime.Create(ctx, Container{ID: q.ID, Spec: q.Spec, Bundle: q.Bundle, Rootfs: q.Rootfs, Stdio: [3]*os.File{null, null, null}})
	if err != nil {
		return nil, err
	}
	ns, err := openMounts(made.Pid) // not reaped yet, so the number is its own
	if abortErr := made.Abort(); abortErr != nil && err == nil {
		err = errors.Join(abortErr, ns.Close())
	}
	return ns, err
}
