package supervisor

import (
	"maps"
	"net"
	"strings"
	"sync"

	"github.com/berth-containers/berth/internal/shim"
	"github.com/berth-containers/berth/internal/sys/unixsock"
)

// deposit is descriptors of the engine, kept for the one that comes after it.
// The shim does nothing with them; those of a container go when it ends, because
// they may hold its network namespace.
type deposit struct {
	mu    sync.Mutex
	files map[string]unixsock.FD
}

// serve gives what there is and takes what comes.
func (d *deposit) serve(conn *net.UnixConn) {
	if !respond(conn, nil, nil) || d.give(conn) != nil {
		return
	}
	for {
		frame, fd, err := shim.ReadHold(conn)
		if err != nil {
			return
		}
		switch {
		case fd == nil:
			d.drop(func(key string) bool { return frame.Op == shim.HoldDrop && key == frame.Key })
		case frame.Op == shim.HoldKeep:
			d.keep(frame.Key, *fd)
		default:
			fd.Close()
		}
	}
}

// give sends copies, which nobody can close meanwhile.
func (d *deposit) give(conn *net.UnixConn) error {
	d.mu.Lock()
	keys := maps.Clone(d.files)
	d.mu.Unlock()
	for key := range keys {
		d.mu.Lock()
		fd, ok := d.files[key]
		if !ok {
			d.mu.Unlock()
			continue
		}
		f, err := fd.Dup()
		d.mu.Unlock()
		if err != nil {
			return err
		}
		err = shim.WriteHold(conn, shim.HoldFrame{Op: shim.HoldKeep, Key: key}, f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return shim.WriteFrame(conn, shim.HoldFrame{Op: shim.HoldDone})
}

func (d *deposit) keep(key string, fd unixsock.FD) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files == nil {
		d.files = map[string]unixsock.FD{}
	}
	if old, ok := d.files[key]; ok {
		old.Close()
	}
	d.files[key] = fd
}

// end drops what is kept for a container.
func (d *deposit) end(containerID string) {
	d.drop(func(key string) bool { return strings.HasPrefix(key, containerID+"/") })
}

func (d *deposit) drop(which func(key string) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, fd := range d.files {
		if which(key) {
			fd.Close()
			delete(d.files, key)
		}
	}
}
