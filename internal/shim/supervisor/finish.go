package supervisor

import (
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/shim/supervisor/stdio"
)

// finish records the end of p: first its output is drained into the log and
// the streams, then the exit is on disk, then everybody is told, and what is left
// of it is removed.
func (s ending) finish(p *proc, status syscall.WaitStatus, unknown string) {
	st := p.snapshot()
	exit := shim.Exit{ID: st.ID, ExecID: st.ExecID, Pid: st.Pid, Code: -1, Unknown: unknown, At: time.Now()}
	if unknown == "" {
		exit.Code = exitCode(status)
	}
	if st.ExecID == "" && st.CgroupPath != "" {
		exit.OOMKilled = s.oomKilled(st)
		if st.SharedPids {
			s.removeCgroup(st) // nobody else ends its other processes
		}
	}
	p.mu.Lock()
	pumps := p.pumps
	p.mu.Unlock()
	p.hub.HurryUp()
	for _, pump := range pumps {
		pump.Finish()
	}
	if !p.failed {
		if err := writeJSON(s.places.file(p.key, exitFile), exit); err != nil {
			s.log.Error("exit is not kept on disk", "process", p.key.String(), "error", err)
		}
	}
	p.mu.Lock()
	p.exit = &exit
	lingering := p.lingering
	p.mu.Unlock()
	close(p.ended)
	for _, pump := range lingering {
		pump.Close()
	}
	s.linger(p, pumps)
	p.hub.End()
	if !p.failed {
		s.announce(p, exit)
	}
	s.clean(p, st)
}

// linger lets what outlives an exec write on until its container ends.
func (s ending) linger(p *proc, pumps []*stdio.Pump) {
	s.mu.Lock()
	container := s.procs[key{p.key.id, ""}]
	s.mu.Unlock()
	for _, pump := range pumps {
		if !pump.Lingers() {
			continue
		}
		if container == nil || !container.keep(pump) {
			pump.Close()
		}
	}
}

// keep is false if the container has ended.
func (p *proc) keep(pump *stdio.Pump) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exit != nil {
		return false
	}
	p.lingering = append(p.lingering, pump)
	return true
}

func (s ending) oomKilled(st state) bool {
	killed, err := s.runtime.OOMKilled(st.CgroupPath)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Warn("whether memory ran out is not known", "container", st.ID, "error", err)
	}
	return killed
}

func (s ending) removeCgroup(st state) {
	if err := s.runtime.RemoveCgroup(st.CgroupPath); err != nil {
		s.log.Warn("cgroup is left behind", "container", st.ID, "cgroup", st.CgroupPath, "error", err)
	}
}

// clean removes what is left of p but its record.
func (s ending) clean(p *proc, st state) {
	defer close(p.cleaned)
	closeFiles(p.mounts)
	s.holders.drop(p.key)
	if st.ExecID == "" {
		s.deposit.end(st.ID)
	}
	if p.sink != nil {
		if err := p.sink.Close(); err != nil {
			s.log.Warn("close log", "container", st.ID, "error", err)
		}
	}
	p.input.Lock()
	if p.stdin != nil && p.stdin != p.console {
		p.stdin.Close()
	}
	p.input.Unlock()
	if f := p.handle(); f != nil {
		f.Close()
	}
	names := []string{"stdin", "stdout", "stderr", "stdout.spool", "stderr.spool", "journal"}
	if st.ExecID != "" {
		names = append(names, stateFile)
	}
	for _, name := range names {
		os.Remove(s.places.file(p.key, name))
	}
	if st.ExecID == "" && st.CgroupPath != "" && !st.SharedPids {
		s.removeCgroup(st)
	}
}

// announce tells an exit to all that listen and keeps it for those to come.
func (s ending) announce(p *proc, exit shim.Exit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.announced = true
	for l := range s.listeners {
		l.add(exit)
	}
}

// release forgets a container that has ended.
func (s *Server) release(id string) error {
	s.mu.Lock()
	p := s.procs[key{id, ""}]
	if p == nil {
		s.mu.Unlock()
		return nil
	}
	if !p.hasEnded() {
		s.mu.Unlock()
		return conflict("container %s is running: it is released once it has exited", id)
	}
	s.mu.Unlock()
	<-p.cleaned
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.procs[p.key] != p {
		return nil
	}
	for k := range s.procs {
		if k.id == id {
			delete(s.procs, k)
		}
	}
	return os.RemoveAll(s.places.dir(id))
}

// forgetExec is called when an exec's exit was taken note of.
func (s *Server) forgetExec(k key) {
	s.mu.Lock()
	p := s.procs[k]
	if p != nil && p.hasEnded() {
		delete(s.procs, k)
	}
	s.mu.Unlock()
	os.Remove(s.places.file(k, stateFile))
	os.Remove(s.places.file(k, exitFile))
}
