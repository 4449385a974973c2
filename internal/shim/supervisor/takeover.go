package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/sys/fifo"
	"github.com/berth-containers/berth/internal/sys/pidfd"
)

// takeOver goes on with what an earlier shim left in the exec root. An entry
// that can't be understood is said and left alone: the others must go on.
func (s takeover) takeOver() error {
	dirs, err := os.ReadDir(filepath.Join(string(s.places), "shim"))
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	for _, d := range dirs {
		if err := s.takeOverContainer(d.Name()); err != nil {
			s.log.Error("container is not taken over", "container", d.Name(), "error", err)
		}
	}
	return nil
}

func (s takeover) takeOverContainer(id string) error {
	entries, err := os.ReadDir(s.places.dir(id))
	if err != nil {
		return err
	}
	found := false
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), stateFile)
		if !ok {
			continue
		}
		found = found || name == ""
		execID := strings.TrimSuffix(strings.TrimPrefix(name, "exec-"), ".")
		if err := s.takeOverProcess(key{id, execID}); err != nil {
			s.log.Error("process is not taken over", "container", id, "exec", execID, "error", err)
		}
	}
	if !found { // the earlier shim died before it had a process to tell of
		return s.dropUnborn(id)
	}
	return s.keptExecs(id, entries)
}

// dropUnborn removes a container that was being created: its init has lost the
// runtime and ends, and nobody else knows of its cgroup.
func (s takeover) dropUnborn(id string) error {
	var spec specs.Spec
	// A torn specification is older than the cgroup.
	if err := readJSON(s.places.file(key{id, ""}, specFile), &spec); err == nil && spec.Linux != nil && spec.Linux.CgroupsPath != "" {
		ending(s).removeCgroup(state{ID: id, CgroupPath: spec.Linux.CgroupsPath})
	}
	return os.RemoveAll(s.places.dir(id))
}

// keptExecs finds the exits of execs of which nothing else is left.
func (s takeover) keptExecs(id string, entries []os.DirEntry) error {
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), "."+exitFile)
		execID, isExec := strings.CutPrefix(name, "exec-")
		k := key{id, execID}
		if !ok || !isExec || s.procs[k] != nil {
			continue
		}
		var exit shim.Exit
		if err := readJSON(s.places.file(k, exitFile), &exit); err != nil {
			return err
		}
		p := endedProc(state{ID: id, ExecID: execID, Pid: exit.Pid}, &exit)
		close(p.cleaned)
		s.procs[k] = p
	}
	return nil
}

func endedProc(st state, exit *shim.Exit) *proc {
	p := newProc(st)
	p.exit = exit
	p.hub.End()
	p.announced = true
	close(p.ended)
	return p
}

func (s takeover) takeOverProcess(k key) error {
	var st state
	if err := readJSON(s.places.file(k, stateFile), &st); err != nil {
		return err
	}
	if st.key() != k {
		return fmt.Errorf("%s says it is %s", s.places.file(k, stateFile), st.key())
	}
	var exit shim.Exit
	err := readJSON(s.places.file(k, exitFile), &exit)
	if err == nil {
		p := endedProc(st, &exit)
		s.procs[k] = p
		s.work.Go(func() {
			defer close(p.cleaned)
			if st.ExecID == "" && st.CgroupPath != "" {
				ending(s).removeCgroup(st)
			}
		})
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return s.resume(newProc(st))
}

// resume goes on with a process whose end nobody saw.
func (s takeover) resume(p *proc) error {
	p.pidfd = find(p.state)
	if !p.state.Running && p.pidfd != nil {
		// It waits before its execve for a shim that is gone; Start failed.
		pidfd.Signal(p.pidfd, syscall.SIGKILL)
	}
	if err := s.openSink(p); err != nil {
		s.log.Error("output is not logged", "process", p.key.String(), "error", err)
	}
	if !p.state.TTY {
		s.reopen(p)
	}
	s.procs[p.key] = p
	s.work.Go(func() { ending(s).watch(p) })
	return nil
}

// find returns a pidfd of the process, nil if it is gone. The start time tells
// it from a later process with its number.
func find(st state) *os.File {
	f, err := pidfd.Open(st.Pid)
	if err != nil {
		return nil
	}
	stat, err := readStat(st.Pid)
	if err != nil || stat.startTicks != st.StartTicks {
		f.Close()
		return nil
	}
	return f
}

// reopen opens the pipes of p by name: they are as the earlier shim left them.
func (s takeover) reopen(p *proc) {
	for _, stream := range p.streams() {
		f, err := fifo.OpenReader(s.places.file(p.key, stream.String()))
		if err != nil {
			s.log.Error("output is lost", "process", p.key.String(), "error", err)
			continue
		}
		s.pump(p, f, stream)
	}
	if !p.state.OpenStdin || p.state.StdinClosed {
		return
	}
	f, err := fifo.OpenWriter(s.places.file(p.key, "stdin"))
	if err == nil {
		p.stdin = f
	} else if !errors.Is(err, syscall.ENXIO) { // nobody reads it any more
		s.log.Warn("stdin is lost", "process", p.key.String(), "error", err)
	}
}

// adoptConsole takes a terminal's master from the second holder.
func (s holding) adoptConsole(p *proc, f *os.File) bool {
	p.mu.Lock()
	missing := p.state.TTY && p.console == nil
	p.mu.Unlock()
	if !missing {
		return false
	}
	console, err := s.useConsole(p, f)
	f.Close()
	if err != nil {
		s.log.Error("terminal is lost", "process", p.key.String(), "error", err)
	}
	s.pump(p, console, logs.Stdout)
	return true
}
