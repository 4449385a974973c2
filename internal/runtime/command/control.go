package command

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/leanjson"
	"github.com/berth-containers/berth/internal/runtime"
	"github.com/berth-containers/berth/internal/runtime/command/state"
	"github.com/berth-containers/berth/internal/sys/cgroup"
)

func runState(e *env, flags *flag.FlagSet, args []string) error {
	_, s, err := e.named(flags, args)
	if err != nil {
		return err
	}
	return e.print(s.Show())
}

func (e *env) print(v any) error { return e.printIndented(v, "  ") }

// printIndented writes JSON and the end of its line, in one line without indent.
func (e *env) printIndented(v any, indent string) error {
	b, err := leanjson.MarshalIndent(v, indent)
	if err != nil {
		return err
	}
	_, err = e.out.Write(append(b, '\n'))
	return err
}

func runKill(e *env, flags *flag.FlagSet, args []string) error {
	all := boolFlag(flags, "all", "a", "every process of the container")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() < 1 || flags.NArg() > 2 {
		return errors.New("kill takes the container's ID and a signal")
	}
	s, err := e.store.Load(flags.Arg(0))
	if err != nil {
		return err
	}
	name := "SIGTERM"
	if flags.NArg() == 2 {
		name = flags.Arg(1)
	}
	sig, err := parseSignal(name)
	if err != nil {
		return err
	}
	if *all {
		return signalAll(s, sig)
	}
	err = sendTo(s.Process, sig)
	if s.Process.Pid == 0 || errors.Is(err, syscall.ESRCH) {
		// Engines know an end by these words.
		return fmt.Errorf("cannot send %s to container %s: container not running", name, s.ID)
	}
	return err
}

func parseSignal(name string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n <= 64 {
		return syscall.Signal(n), nil
	}
	upper := strings.ToUpper(name)
	if !strings.HasPrefix(upper, "SIG") {
		upper = "SIG" + upper
	}
	if sig := unix.SignalNum(upper); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown signal %q", name)
}

func signalAll(s *state.State, sig syscall.Signal) error {
	if s.Cgroup == "" {
		return sendTo(s.Process, sig) // with its pid namespace, all end with the first
	}
	pids, err := cgroup.Open(s.Cgroup).Pids()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("signal process %d: %w", pid, err)
		}
	}
	return nil
}

func runDelete(e *env, flags *flag.FlagSet, args []string) error {
	force := boolFlag(flags, "force", "f", "kill the container if it runs")
	id, err := one(flags, args)
	if err != nil {
		return err
	}
	s, err := e.store.Load(id)
	switch {
	case *force && errdefs.IsNotFound(err):
		return nil
	case *force && errdefs.IsFailedPrecondition(err):
		if s, err = e.store.Torn(id); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	if status := s.Status(); status != specs.StateStopped && status != specs.StateCreated && !*force {
		return fmt.Errorf("cannot delete container %s that is not stopped: %s", id, status)
	}
	return e.destroy(s)
}

func runPause(e *env, flags *flag.FlagSet, args []string) error {
	id, s, err := e.named(flags, args)
	if err != nil {
		return err
	}
	if status := s.Status(); status != specs.StateRunning && status != specs.StateCreated {
		return fmt.Errorf("cannot pause container %s: it is %s", id, status)
	}
	// Before it is: what is not frozen can be resumed.
	if err := s.SetPaused(true); err != nil {
		return err
	}
	if err := runtime.Pause(s.Cgroup); err != nil {
		return errors.Join(err, s.SetPaused(false))
	}
	return nil
}

func runResume(e *env, flags *flag.FlagSet, args []string) error {
	id, s, err := e.named(flags, args)
	if err != nil {
		return err
	}
	if status := s.Status(); status != state.Paused {
		return fmt.Errorf("cannot resume container %s: it is %s", id, status)
	}
	if err := runtime.Resume(s.Cgroup); err != nil {
		return err
	}
	return s.SetPaused(false)
}
