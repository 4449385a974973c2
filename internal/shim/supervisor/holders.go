package supervisor

import (
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/berth-containers/berth/internal/logs"
	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/sys/fifo"
)

// What of a process a second holder keeps.
const (
	holdPidfd   = "pidfd"
	holdConsole = "console"
	holdStdin   = "stdin"
)

func holdKey(k key, what string) string { return k.id + "/" + k.execID + "/" + what }

// holders is who keeps descriptors for the next shim: the engine, at most one.
type holders struct {
	mu      sync.Mutex
	current *holder
}

// holder is one connection; frames go out in the order of the queue.
type holder struct {
	conn *net.UnixConn
	wake chan struct{}
	gone chan struct{}

	mu      sync.Mutex
	ended   bool // nothing is sent any more
	queue   []holdItem
	seq     uint64
	dropped map[uint64]chan struct{}
}

type holdItem struct {
	frame shim.HoldFrame
	file  *os.File
	owned bool // file is closed once it was sent
}

func (i holdItem) done() {
	if i.owned {
		i.file.Close()
	}
}

func (h *holder) add(frame shim.HoldFrame, file *os.File) (done chan struct{}) {
	return h.put(holdItem{frame: frame, file: file})
}

func (h *holder) put(item holdItem) (done chan struct{}) {
	frame := &item.frame
	h.mu.Lock()
	if h.ended {
		h.mu.Unlock()
		item.done()
		return nil // who waits for it waits for gone, too
	}
	if frame.Op == shim.HoldDrop {
		h.seq++
		frame.Seq, done = h.seq, make(chan struct{})
		h.dropped[frame.Seq] = done
	}
	h.queue = append(h.queue, item)
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
	return done
}

func (h *holder) confirm(seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if done := h.dropped[seq]; done != nil {
		close(done)
		delete(h.dropped, seq)
	}
}

// send sends what is queued until the connection ends.
func (h *holder) send() {
	for ended := false; ; {
		h.mu.Lock()
		queue, last := h.queue, ended
		h.queue, h.ended = nil, last
		h.mu.Unlock()
		for _, item := range queue {
			if !ended {
				ended = !h.write(item)
			}
			item.done()
		}
		if last {
			return
		}
		if ended {
			continue // once more, for what was queued meanwhile
		}
		select {
		case <-h.wake:
		case <-h.gone:
			ended = true
		}
	}
}

// write is false if the connection has ended.
func (h *holder) write(item holdItem) bool {
	h.conn.SetWriteDeadline(time.Now().Add(requestTimeout))
	if item.file != nil {
		// A file that was closed meanwhile needs no holder any more.
		shim.WriteHold(h.conn, item.frame, item.file)
		return true
	}
	if shim.WriteFrame(h.conn, item.frame) != nil {
		h.conn.Close()
		return false
	}
	return true
}

func (hs *holders) get() *holder {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.current
}

// drop lets the holder forget all of a process.
func (hs *holders) drop(k key) {
	if h := hs.get(); h != nil {
		h.dropAll(k)
	}
}

func (h *holder) dropAll(k key) {
	for _, what := range []string{holdPidfd, holdConsole, holdStdin, logs.Stdout.String(), logs.Stderr.String()} {
		h.add(shim.HoldFrame{Op: shim.HoldDrop, Key: holdKey(k, what)}, nil)
	}
}

// dropTimeout is how long the end of an input waits for the second holder.
const dropTimeout = 5 * time.Second

// dropStdin returns once the holder has closed its end.
func (hs *holders) dropStdin(k key) {
	h := hs.get()
	if h == nil {
		return
	}
	timer := time.NewTimer(dropTimeout)
	defer timer.Stop()
	select {
	case <-h.add(shim.HoldFrame{Op: shim.HoldDrop, Key: holdKey(k, holdStdin)}, nil):
	case <-h.gone:
	case <-timer.C:
	}
}

// share gives the holder, if there is one, what there is of p.
func (s holding) share(p *proc) {
	if h := s.holders.get(); h != nil {
		s.shareWith(h, p)
	}
}

func (s holding) shareWith(h *holder, p *proc) {
	p.mu.Lock()
	keep := map[string]*os.File{holdPidfd: p.pidfd, holdConsole: p.console}
	if p.stdin != nil && p.stdin != p.console && !p.state.StdinClosed {
		keep[holdStdin] = p.stdin
	}
	st := p.state
	p.mu.Unlock()
	for what, f := range keep {
		if f != nil {
			h.add(shim.HoldFrame{Op: shim.HoldKeep, Key: holdKey(p.key, what)}, f)
		}
	}
	if !st.TTY {
		s.shareOutputs(h, p)
	}
	// What was closed while it was queued went to the holder too late to be
	// dropped there.
	if p.hasEnded() {
		h.dropAll(p.key)
	} else if p.snapshot().StdinClosed {
		h.add(shim.HoldFrame{Op: shim.HoldDrop, Key: holdKey(p.key, holdStdin)}, nil)
	}
}

func (s holding) shareOutputs(h *holder, p *proc) {
	// A pipe that somebody has open keeps its bytes when the program ends;
	// the next shim finds them by opening it by name.
	for _, stream := range p.streams() {
		if f, err := fifo.OpenReader(s.places.file(p.key, stream.String())); err == nil {
			h.put(holdItem{shim.HoldFrame{Op: shim.HoldKeep, Key: holdKey(p.key, stream.String())}, f, true})
		}
	}
}

// hold serves the second holder.
func (s holding) hold(conn *net.UnixConn) {
	if !respond(conn, nil, nil) {
		return
	}
	offered, ok := s.offers(conn)
	if !ok {
		return
	}
	h := &holder{conn: conn, wake: make(chan struct{}, 1), gone: make(chan struct{}), dropped: map[uint64]chan struct{}{}}
	s.holders.mu.Lock()
	s.holders.current = h
	s.holders.mu.Unlock()
	s.mu.Lock()
	var procs []*proc
	for k, p := range s.procs {
		if !s.starting[k] && !p.hasEnded() {
			procs = append(procs, p)
		}
	}
	s.mu.Unlock()
	for _, p := range procs {
		s.shareWith(h, p)
	}
	for _, name := range offered {
		if s.named(name) == nil {
			h.add(shim.HoldFrame{Op: shim.HoldDrop, Key: name}, nil)
		}
	}
	sent := make(chan struct{})
	go func() { defer close(sent); h.send() }()
	for {
		var frame shim.HoldFrame
		if shim.ReadFrame(conn, &frame) != nil {
			break
		}
		h.confirm(frame.Seq)
	}
	s.holders.mu.Lock()
	if s.holders.current == h {
		s.holders.current = nil
	}
	s.holders.mu.Unlock()
	close(h.gone)
	conn.Close()
	<-sent
}

// offers takes what the holder kept for an earlier shim.
func (s holding) offers(conn *net.UnixConn) (names []string, ok bool) {
	defer s.offersDone()
	for {
		conn.SetReadDeadline(time.Now().Add(requestTimeout))
		frame, fd, err := shim.ReadHold(conn)
		if err != nil {
			return nil, false
		}
		if frame.Op == shim.HoldDone {
			conn.SetReadDeadline(time.Time{})
			return names, true
		}
		names = append(names, frame.Key)
		if fd == nil {
			continue
		}
		if f := fd.File(); !s.adopt(frame.Key, f) {
			f.Close()
		}
	}
}

func (s *Server) offersDone() { s.once.Do(func() { close(s.offered) }) }

// named returns the process of a holder's key if it has not ended.
func (s holding) named(name string) *proc {
	id, rest, _ := strings.Cut(name, "/")
	execID, _, _ := strings.Cut(rest, "/")
	return s.running(key{id, execID})
}

// adopt gives a descriptor to the process that misses it; false: it is not
// needed.
func (s holding) adopt(name string, f *os.File) bool {
	p := s.named(name)
	if p == nil {
		return false
	}
	switch name[strings.LastIndexByte(name, '/')+1:] {
	case holdPidfd:
		if p.handle() != nil {
			return false
		}
		select {
		case p.offer <- f:
			return true
		default:
			return false
		}
	case holdConsole:
		return s.adoptConsole(p, f)
	}
	return false
}
