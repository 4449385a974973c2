// Package dns is the name server that containers of user-defined networks find
// at 127.0.0.11: it answers what their networks' names are, and asks others the
// rest.
//
// A client is a container with two sockets in its network namespace (package
// listen). A few goroutines serve the sockets of all clients: what is known at
// hand is answered there, a batch at a time; only a question that goes to other
// servers, or a TCP connection, gets a goroutine of its own, of which there is
// a limited number. A client costs no memory but its record.
//
// When the engine dies, a Keeper has the sockets: questions wait in them, and
// the next engine answers. If the Keeper lost them as well, Serve opens new ones.
package dns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/berth-containers/berth/internal/network"
	"github.com/berth-containers/berth/internal/network/dns/forward"
	"github.com/berth-containers/berth/internal/network/dns/listen"
	"github.com/berth-containers/berth/internal/network/hostsfile"
	"github.com/berth-containers/berth/internal/sys/netns"
	"github.com/berth-containers/berth/internal/sys/packet"
)

// Names is what is known of the networks; see package directory.
type Names interface {
	Lookup(containerID, name string) (addrs []netip.Addr, found bool)
	Reverse(containerID string, a netip.Addr) (name string, found bool)
	// External is whether the container may have servers asked from outside its
	// own network namespace.
	External(containerID string) bool
}

// Keeper has the sockets while there is no engine.
type Keeper interface {
	Keep(key string, socket syscall.Conn)
	Drop(key string)
	// Take gives back what an earlier engine had it keep; nil: nothing.
	Take(key string) *os.File
}

// mostWorkers serve the sockets.
const mostWorkers = 4

// Server is the name server of all containers.
type Server struct {
	names   Names
	keeper  Keeper
	log     *slog.Logger
	forward *forward.Forwarder
	host    hostServers
	work    sync.WaitGroup // everything but the workers
	serving sync.WaitGroup // the workers

	mu      sync.Mutex
	closed  bool
	clients map[string]*client // by container ID
	next    uint64             // the next client's token
	workers []*worker
}

// New returns a server without clients; hostConf is the path of the host's
// resolv.conf.
func New(names Names, keeper Keeper, hostConf string, log *slog.Logger) *Server {
	return &Server{names: names, keeper: keeper, log: log, forward: forward.New(), host: hostServers{path: hostConf}, clients: map[string]*client{}}
}

// Serve begins to answer a container whose sandbox is ns, or goes on with what
// it wants now. Calls for one container come one after the other.
func (s *Server) Serve(ns *os.File, c network.Client) error {
	id, err := identify(ns)
	if err != nil {
		return err
	}
	s.mu.Lock()
	old := s.clients[c.ContainerID]
	s.mu.Unlock()
	if old != nil && old.ns == id {
		old.want.Store(wanted(c))
		return nil
	}
	s.Forget(c.ContainerID)
	sockets, err := s.open(ns, id, c.ContainerID)
	if err == nil {
		err = s.add(&client{id: c.ContainerID, ns: id, sockets: sockets, running: map[*call]struct{}{}}, wanted(c))
	}
	if err != nil {
		sockets.Close()
		return fmt.Errorf("serve DNS in a container: %w", err)
	}
	return nil
}

func (s *Server) add(c *client, w *want) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.start(); err != nil {
		return err
	}
	c.want.Store(w)
	s.next++
	c.token, c.worker = s.next, s.workers[s.next%uint64(len(s.workers))]
	if err := c.worker.add(c); err != nil {
		return err
	}
	s.clients[c.id] = c
	s.keeper.Keep(keyUDP(c.id), c.sockets.UDP)
	s.keeper.Keep(keyTCP(c.id), c.sockets.TCP)
	return nil
}

// open takes the sockets back that the namespace has already, or opens them.
func (s *Server) open(ns *os.File, id nsID, containerID string) (listen.Sockets, error) {
	udp, tcp := s.taken(keyUDP(containerID), id), s.taken(keyTCP(containerID), id)
	if udp != nil && tcp != nil {
		return listen.Sockets{UDP: udp, TCP: tcp}, nil
	}
	listen.Sockets{UDP: udp, TCP: tcp}.Close()
	var sockets listen.Sockets
	err := netns.Do(ns, func() (err error) {
		sockets, err = listen.Open()
		return err
	})
	return sockets, err
}

// taken is a kept socket, if it is in that namespace.
func (s *Server) taken(key string, in nsID) *packet.Socket {
	f := s.keeper.Take(key)
	if f == nil {
		return nil
	}
	socket, err := packet.Adopt(f)
	if err != nil {
		s.log.Warn("take back a DNS socket", "socket", key, "error", err)
		return nil
	}
	ns, err := socket.NetNS()
	if err == nil {
		defer ns.Close()
		if id, err := identify(ns); err == nil && id == in {
			return socket
		}
	}
	socket.Close()
	return nil
}

// Forget ends the service of a container; one it does not know is no error.
func (s *Server) Forget(containerID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[containerID]; c != nil {
		s.drop(c)
	}
	if len(s.clients) == 0 {
		s.forward.Clear()
	}
}

func (s *Server) drop(c *client) {
	delete(s.clients, c.id)
	c.worker.remove(c)
	c.end()
	s.keeper.Drop(keyUDP(c.id))
	s.keeper.Drop(keyTCP(c.id))
}

// Close ends the service; the Keeper has the sockets.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for _, c := range s.clients {
		c.worker.remove(c)
		c.end()
	}
	clear(s.clients)
	var errs []error
	for _, w := range s.workers {
		errs = append(errs, w.poller.Close())
	}
	s.mu.Unlock()
	s.serving.Wait()
	done := make(chan struct{})
	go func() { defer close(done); s.work.Wait() }()
	select {
	case <-done:
	case <-ctx.Done():
		errs = append(errs, fmt.Errorf("wait for DNS questions under way: %w", ctx.Err()))
	}
	return errors.Join(errs...)
}

// start starts the workers with the first client.
func (s *Server) start() error {
	if s.closed {
		return os.ErrClosed
	}
	for len(s.workers) < min(mostWorkers, runtime.GOMAXPROCS(0)) {
		w, err := newWorker(s)
		if err != nil {
			return err
		}
		s.workers = append(s.workers, w)
		s.serving.Go(w.run)
	}
	return nil
}

func keyUDP(containerID string) string { return containerID + "/dns-udp" }
func keyTCP(containerID string) string { return containerID + "/dns-tcp" }

// nsID tells namespaces apart.
type nsID struct{ device, inode uint64 }

func identify(ns *os.File) (nsID, error) {
	info, err := ns.Stat()
	if err != nil {
		return nsID{}, fmt.Errorf("look at a network namespace: %w", err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return nsID{uint64(st.Dev), st.Ino}, nil
}

// hostServers are the name servers of the host, which change as it moves.
type hostServers struct {
	path string

	mu      sync.Mutex
	looked  time.Time
	changed time.Time
	servers []forward.Server
}

// hostEvery is how long what was read of the host's resolv.conf is believed.
const hostEvery = 2 * time.Second

func (h *hostServers) get() ([]forward.Server, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.looked) < hostEvery {
		return h.servers, nil
	}
	h.looked = time.Now()
	info, err := os.Stat(h.path)
	if err == nil && info.ModTime().Equal(h.changed) {
		return h.servers, nil
	}
	conf, err := os.ReadFile(h.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return h.servers, fmt.Errorf("read the host's resolv.conf: %w", err)
	}
	if info != nil {
		h.changed = info.ModTime()
	}
	h.servers = nil
	for _, a := range hostsfile.Servers(conf) {
		h.servers = append(h.servers, forward.Server{Addr: netip.AddrPortFrom(a, listen.Port), Host: true})
	}
	return h.servers, nil
}
