package command

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/leanjson"
	"github.com/berth-containers/berth/internal/runtime"
	"github.com/berth-containers/berth/internal/runtime/command/state"
	"github.com/berth-containers/berth/internal/runtime/hooks"
	"github.com/berth-containers/berth/internal/sys/cgroup"
	"github.com/berth-containers/berth/internal/sys/pidfd"
	"github.com/berth-containers/berth/internal/sys/resctrl"
)

// endTimeout bounds the wait for processes that were killed.
const endTimeout = 10 * time.Second

// hookState is what a hook reads of the container.
func hookState(s *state.State, status specs.ContainerState, pid int) (string, error) {
	text, err := leanjson.Marshal(specs.State{Version: specs.Version, ID: s.ID, Status: status, Pid: pid, Bundle: s.Bundle, Annotations: s.Annotations})
	return string(text), err
}

// poststart runs the hooks of a container that runs. If one fails, the container
// is stopped; delete then does the rest.
func (e *env) poststart(s *state.State) error {
	if len(s.Poststart) == 0 {
		return nil
	}
	text, err := hookState(s, specs.StateRunning, s.Process.Pid)
	if err == nil {
		err = hooks.Run("poststart", s.Poststart, text)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("the container was stopped: %w", err), kill(s))
	}
	return nil
}

// poststop runs the hooks of a container that is gone; one that fails is a
// warning.
func (e *env) poststop(s *state.State) {
	if len(s.Poststop) == 0 {
		return
	}
	text, err := hookState(s, specs.StateStopped, 0)
	if err == nil {
		err = hooks.RunAll("poststop", s.Poststop, text)
	}
	if err != nil {
		e.log.warn("%v", err)
	}
}

// destroy takes away all that there is of a container, whatever its state.
func (e *env) destroy(s *state.State) error {
	if s.Creator != nil {
		if err := sendTo(*s.Creator, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end the create of container %s, process %d: %w", s.ID, s.Creator.Pid, err)
		}
	}
	if err := kill(s); err != nil {
		return err
	}
	// An init whose runtime died before it wrote its number waits for a start.
	runtime.Dismiss(s.Socket())
	if s.Cgroup != "" {
		ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
		defer cancel()
		var err error
		if s.Unit != "" {
			err = runtime.RemoveUnit(ctx, s.Unit, s.Cgroup)
		} else {
			err = cgroup.Open(s.Cgroup).Remove(ctx)
		}
		if err != nil {
			return fmt.Errorf("remove cgroup %s: %w", s.Cgroup, err)
		}
	}
	if rootfs, before, ok := s.Covered(); ok {
		if err := runtime.Uncover(rootfs, before); err != nil {
			return err
		}
	}
	if err := removeResctrl(s); err != nil {
		return err
	}
	e.poststop(s)
	return s.Remove()
}

// kill ends the container's first process and waits for it.
func kill(s *state.State) error {
	f, err := pidfd.Open(s.Process.Pid)
	if err != nil || !s.Process.Runs() {
		return nil // gone already
	}
	defer f.Close()
	if err := pidfd.Signal(f, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	if s.Status() == state.Paused {
		if err := runtime.Resume(s.Cgroup); err != nil {
			return err
		}
	}
	if err := f.SetReadDeadline(time.Now().Add(endTimeout)); err != nil {
		return err
	}
	return pidfd.WaitExit(f)
}

// sendTo reaches the process and never another that got its number.
func sendTo(p state.Process, sig syscall.Signal) error {
	f, err := pidfd.Open(p.Pid)
	if err != nil {
		return err
	}
	defer f.Close()
	if !p.Runs() {
		return syscall.ESRCH
	}
	return pidfd.Signal(f, sig)
}

// end kills and reaps a process that its caller could not be told of.
func end(p *runtime.Process) error {
	if err := pidfd.Signal(p.Pidfd, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	if err := pidfd.WaitExit(p.Pidfd); err != nil {
		return err
	}
	_, _, err := pidfd.Reap(p.Pid)
	return err
}

// removeResctrl takes away the container's groups of Intel RDT. Most hosts have
// none, so that its configuration need not be read.
func removeResctrl(s *state.State) error {
	if !resctrl.Mounted(resctrl.Root) {
		return nil
	}
	spec, err := s.Config()
	if err != nil {
		return err
	}
	return runtime.RemoveResctrl(s.ID, spec.Linux.IntelRdt)
}
