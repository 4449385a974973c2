package command

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/leanjson"
	"github.com/berth-containers/berth/internal/runtime"
	"github.com/berth-containers/berth/internal/sys/cgroup"
	"github.com/berth-containers/berth/internal/sys/pidfd"
)

// named loads the one container that the arguments name.
func (e *env) named(flags *flag.FlagSet, args []string) (string, *state, error) {
	id, err := one(flags, args)
	if err != nil {
		return "", nil, err
	}
	s, err := e.load(id)
	return id, s, err
}

func runState(e *env, flags *flag.FlagSet, args []string) error {
	_, s, err := e.named(flags, args)
	if err != nil {
		return err
	}
	return e.print(s.show())
}

func (e *env) print(v any) error {
	return e.json(v, "  ")
}

// json writes v and the end of the line.
func (e *env) json(v any, indent string) error {
	text, err := leanjson.MarshalIndent(v, indent)
	if err != nil {
		return err
	}
	_, err = e.out.Write(append(text, '\n'))
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
	s, err := e.load(flags.Arg(0))
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
		return s.signalAll(sig)
	}
	return s.signal(sig)
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

// signal reaches the container's init and never another process that got its
// number.
func (s *state) signal(sig syscall.Signal) error {
	f, err := pidfd.Open(s.Pid)
	if err != nil || s.status() == specs.StateStopped {
		return fmt.Errorf("container %s is not running", s.ID)
	}
	defer f.Close()
	return pidfd.Signal(f, sig)
}

func (s *state) signalAll(sig syscall.Signal) error {
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
	s, err := e.load(id)
	if errors.Is(err, os.ErrNotExist) && *force {
		dir, _ := e.dir(id)
		return os.RemoveAll(dir) // a create that was killed half-way
	}
	if err != nil {
		return err
	}
	status := s.status()
	if status != specs.StateStopped && status != specs.StateCreated && !*force {
		return fmt.Errorf("cannot delete container %s that is not stopped: %s", id, status)
	}
	if status != specs.StateStopped {
		if err := s.end(); err != nil {
			return err
		}
	}
	r, err := runtime.New(e.initBinary)
	if err != nil {
		return err
	}
	return errors.Join(r.RemoveCgroup(s.Cgroup), os.RemoveAll(s.dir))
}

// end kills the container and waits until it is gone.
func (s *state) end() error {
	f, err := pidfd.Open(s.Pid)
	if err != nil {
		return nil // gone already
	}
	defer f.Close()
	if s.status() == specs.StateStopped {
		return nil
	}
	if err := pidfd.Signal(f, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	if exists(s.paused()) {
		if err := runtime.Resume(s.Cgroup); err != nil {
			return err
		}
	}
	if err := f.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	return pidfd.WaitExit(f)
}

func runPause(e *env, flags *flag.FlagSet, args []string) error {
	id, s, err := e.named(flags, args)
	if err != nil {
		return err
	}
	if status := s.status(); status != specs.StateRunning {
		return fmt.Errorf("cannot pause container %s: it is %s", id, status)
	}
	if err := runtime.Pause(s.Cgroup); err != nil {
		return err
	}
	return os.WriteFile(s.paused(), nil, 0o600)
}

func runResume(e *env, flags *flag.FlagSet, args []string) error {
	id, s, err := e.named(flags, args)
	if err != nil {
		return err
	}
	if status := s.status(); status != "paused" {
		return fmt.Errorf("cannot resume container %s: it is %s", id, status)
	}
	if err := runtime.Resume(s.Cgroup); err != nil {
		return err
	}
	return os.Remove(s.paused())
}

func runPs(e *env, flags *flag.FlagSet, args []string) error {
	format := stringFlag(flags, "format", "f", "table", "table or json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() < 1 {
		return errors.New("ps takes the container's ID")
	}
	s, err := e.load(flags.Arg(0))
	if err != nil {
		return err
	}
	pids, err := cgroup.Open(s.Cgroup).Pids()
	if err != nil {
		return err
	}
	if *format == "json" {
		return e.json(append([]int{}, pids...), "")
	}
	out, err := exec.Command("ps", "-ef").Output()
	if err != nil {
		return fmt.Errorf("run ps (it is in Debian's procps; --format json needs none): %w", err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		f := strings.Fields(line)
		if i > 0 && len(f) > 1 {
			if pid, err := strconv.Atoi(f[1]); err != nil || !slices.Contains(pids, pid) {
				continue
			}
		}
		fmt.Fprintln(e.out, line)
	}
	return nil
}

func runList(e *env, flags *flag.FlagSet, args []string) error {
	format := stringFlag(flags, "format", "f", "table", "table or json")
	quiet := boolFlag(flags, "quiet", "q", "IDs only")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dirs, err := filepath.Glob(filepath.Join(e.root, "*", "state.json"))
	if err != nil {
		return err
	}
	all := []shown{}
	for _, d := range dirs {
		s, err := e.load(filepath.Base(filepath.Dir(d)))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			fmt.Fprintf(e.err, "berth-runtime: warning: %v\n", err)
			continue
		}
		all = append(all, s.show())
	}
	if *format == "json" && !*quiet {
		return e.json(all, "")
	}
	w := tabwriter.NewWriter(e.out, 12, 1, 3, ' ', 0)
	if !*quiet {
		fmt.Fprint(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
	}
	for _, s := range all {
		if *quiet {
			fmt.Fprintln(w, s.ID)
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
	}
	return w.Flush()
}
