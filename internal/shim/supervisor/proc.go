package supervisor

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/shim/supervisor/stdio"
	"github.com/berth-containers/berth/internal/sys/fifo"
	"github.com/berth-containers/berth/internal/sys/pidfd"
)

// proc is one process with its stdio.
type proc struct {
	key   key
	child bool // ours to reap
	hub   *stdio.Hub

	pidfd   *os.File
	mounts  *os.File // see Created.Mounts
	stdin   *os.File // writing end or console; nil without
	console *os.File
	sink    *stdio.Sink
	pumps   []*stdio.Pump

	// failed is set before a container whose program could not be executed is
	// killed: its end is Start's error, not an exit.
	failed bool

	offer   chan *os.File // a pidfd from the second holder, for one that ended unseen
	ended   chan struct{} // its exit is recorded
	cleaned chan struct{} // and nothing is left of it

	mu        sync.Mutex
	state     state
	exit      *shim.Exit
	lingering []*stdio.Pump // of ended execs whose children live on
	announced bool          // guarded by Server.mu: listeners were told

	input  sync.Mutex // held while stdin is closed
	saving sync.Mutex // held while state is written
}

func newProc(s state) *proc {
	return &proc{
		key: s.key(), state: s, hub: stdio.NewHub(s.TTY),
		offer: make(chan *os.File, 1), ended: make(chan struct{}), cleaned: make(chan struct{}),
	}
}

func (p *proc) snapshot() state {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// handle is the pidfd; nil for a process that ended unseen.
func (p *proc) handle() *os.File {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pidfd
}

func (p *proc) result() *shim.Exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

func (p *proc) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// streams are the outputs of a process: a terminal has one.
func (p *proc) streams() []logs.Stream {
	if p.state.TTY {
		return []logs.Stream{logs.Stdout}
	}
	return []logs.Stream{logs.Stdout, logs.Stderr}
}

// logged is whether there is a log to keep.
func logged(s state) bool { return s.ExecID == "" && s.Log.Driver != logs.DriverNone }

// openSink opens the log of a container; none for an exec.
func (s *Server) openSink(p *proc) (err error) {
	if !logged(p.state) {
		return nil
	}
	p.sink, err = stdio.OpenSink(s.places.dir(p.key.id), logConfig(p.state.Log), s.log.With("container", p.key.id), p.streams()...)
	return err
}

// pump starts to carry output from file.
func (s *Server) pump(p *proc, file *os.File, stream logs.Stream) {
	if file == nil {
		return
	}
	pump := stdio.NewPump(file, stream, p.state.TTY, p.hub, p.sink, s.buffers)
	p.mu.Lock()
	p.pumps = append(p.pumps, pump)
	p.mu.Unlock()
	s.work.Go(pump.Run)
}

// useConsole takes the master of the terminal as input and returns it as the
// output that is to be pumped.
func (s *Server) useConsole(p *proc, console *os.File) (*os.File, error) {
	console, err := fifo.Pollable(console)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.console = console
	if p.state.OpenStdin {
		p.stdin = console
	}
	p.mu.Unlock()
	return console, nil
}

// watch waits for the end of p and records it.
func (s ending) watch(p *proc) {
	status, unknown := s.await(p)
	s.finish(p, status, unknown)
}

// await returns how p ended, or why that can't be known.
func (s ending) await(p *proc) (status syscall.WaitStatus, unknown string) {
	handle := p.handle()
	if handle == nil {
		if handle = s.offeredTo(p); handle == nil {
			return 0, "it ended while no shim ran, and nobody held its pidfd"
		}
		p.mu.Lock()
		p.pidfd = handle
		p.mu.Unlock()
	}
	if err := pidfd.WaitExit(handle); err != nil {
		return 0, "wait for its end: " + err.Error()
	}
	if p.child {
		status, ok, err := pidfd.Reap(p.snapshot().Pid)
		if ok {
			return status, ""
		}
		if err != nil && !errors.Is(err, pidfd.ErrNotChild) {
			return 0, err.Error()
		}
	}
	return awaitForeign(handle, p.snapshot())
}

// offeredTo waits for the second holder's pidfd of p; nil if it has none.
func (s ending) offeredTo(p *proc) *os.File {
	select {
	case f := <-p.offer:
		return f
	case <-s.offered:
	}
	select {
	case f := <-p.offer:
		return f
	default:
		return nil
	}
}

// reapTimeout bounds the wait for a foreign parent (the system's init) to reap.
const reapTimeout = 10 * time.Second

// awaitForeign returns the status of a process that has another parent.
func awaitForeign(f *os.File, st state) (status syscall.WaitStatus, unknown string) {
	if status, ok, _ := pidfd.Status(f); ok {
		return status, ""
	}
	stat, err := readStat(st.Pid)
	if err == nil && stat.zombie && stat.startTicks == st.StartTicks {
		return syscall.WaitStatus(stat.exitCode), ""
	}
	// Linux before 6.9 never tells a pidfd that its process was reaped.
	reaped := errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || err == nil && stat.startTicks != st.StartTicks
	if !reaped {
		f.SetReadDeadline(time.Now().Add(reapTimeout))
		if err := pidfd.WaitReaped(f); err != nil {
			return 0, "its new parent does not reap it"
		}
	}
	status, ok, err := pidfd.Status(f)
	switch {
	case err != nil:
		return 0, err.Error()
	case !ok:
		return 0, "the shim that was its parent died, and only Linux 6.15 or newer tells the status to another"
	}
	return status, ""
}

func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
