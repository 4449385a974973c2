package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/rootfs"
	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/within"
)

// provider makes the mounts for an init that take the privileges of the host.
type provider struct {
	runtime *Runtime
	root    *wire.Root
	pid     int
	ownUser bool     // the container has a user namespace of its own
	users   *os.File // the one made last, since the next mount may have the same map
	of      rootfs.IDMap
}

// answer gives the init what it asked for, or tells it why not.
func (c *child) answer(payload []byte) error {
	if c.provider == nil {
		return errors.New("the init asked for a mount where none is made")
	}
	fd, err := c.provider.provide(wire.ParseAsk(payload))
	if err != nil {
		return c.send(wire.Failed, wire.FailureOf(err).Payload())
	}
	defer unix.Close(fd)
	// The init waits for it, so there is room.
	err = unix.Sendmsg(int(rawFd(c.conn.File)), wire.Header(wire.Given, 0), unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return nil // listen finds out why it is gone
	}
	return err
}

// provide works in the init's mount namespace, on a thread that ends with it.
func (p *provider) provide(n int) (int, error) {
	type result struct {
		fd  int
		err error
	}
	users, err := p.usersFor(n)
	if err != nil {
		return -1, err
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", p.pid))
	if err != nil {
		return -1, fmt.Errorf("open the container's mount namespace: %w", err)
	}
	defer ns.Close()
	// To join leads to what lies on top of "/", which is the container's root by
	// now; sources are the init's.
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", p.pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open the root of the container's mount namespace: %w", err)
	}
	defer root.Close()
	var net *os.File
	if rootfs.ShowsNetwork(p.root, n) {
		if net, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", p.pid)); err != nil {
			return -1, fmt.Errorf("open the container's network namespace: %w", err)
		}
		defer net.Close()
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlock: nothing else may run on it
		fd, err := -1, error(nil)
		if net != nil {
			// Not in the init's mount namespace, where a new sysfs would be refused
			// for what it shows.
			err = unix.Setns(int(rawFd(net)), unix.CLONE_NEWNET)
		} else {
			err = enter(ns, root)
		}
		if err == nil && rootfs.IsStack(p.root, n) {
			err = p.actAsRoot()
		}
		if err == nil {
			fd, err = rootfs.Provide(p.root, n, int(rawFd(users)))
		}
		done <- result{fd, err}
	}()
	res := <-done
	return res.fd, res.err
}

// enter takes the calling thread into a mount namespace and a root there.
func enter(ns, root *os.File) error {
	err := unix.Unshare(unix.CLONE_FS)
	if err == nil {
		err = unix.Setns(int(rawFd(ns)), unix.CLONE_NEWNS)
	}
	if err == nil {
		err = unix.Fchdir(int(rawFd(root)))
	}
	if err == nil {
		err = unix.Chroot(".")
	}
	if err != nil {
		return fmt.Errorf("join the container's mount namespace: %w", err)
	}
	return nil
}

// actAsRoot makes what the calling thread creates that of the container's root.
// An overlay keeps its maker's credentials, and the host's root is nobody in the
// ID map of the layers.
func (p *provider) actAsRoot() error {
	uid, err := hostID(fmt.Sprintf("/proc/%d/uid_map", p.pid))
	if err != nil {
		return err
	}
	gid, err := hostID(fmt.Sprintf("/proc/%d/gid_map", p.pid))
	if err != nil {
		return err
	}
	return within.As(uid, gid)
}

// hostID is what an ID map makes of 0: lines of "inside outside count".
func hostID(name string) (int, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, fmt.Errorf("read the container's ID map: %w", err)
	}
	var inside, outside, count int
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err == nil && inside == 0 {
			return outside, nil
		}
	}
	return 0, errdefs.ErrInvalidArgument.WithMessage("the container's user namespace has no ID 0: add one to linux.uidMappings and linux.gidMappings")
}

// usersFor returns a user namespace with the ID map of mount n; nil if it needs
// none.
func (p *provider) usersFor(n int) (*os.File, error) {
	want, needed := rootfs.MapOf(p.root, n)
	if !needed || p.users != nil && reflect.DeepEqual(p.of, want) {
		return p.users, nil
	}
	p.close()
	var err error
	switch {
	case len(want.UIDs) > 0 && len(want.GIDs) > 0:
		p.users, err = p.runtime.newUsers(want)
	case len(want.UIDs)+len(want.GIDs) > 0:
		err = errdefs.ErrInvalidArgument.WithMessage("an ID-mapped mount needs uidMappings and gidMappings, both of them")
	case !p.ownUser:
		err = errdefs.ErrInvalidArgument.WithMessage("an ID-mapped mount needs mappings of its own, or a container with a user namespace")
	default:
		p.users, err = os.Open(fmt.Sprintf("/proc/%d/ns/user", p.pid))
	}
	if err != nil {
		return nil, err
	}
	p.of = want
	return p.users, nil
}

func (p *provider) close() {
	if p != nil && p.users != nil {
		p.users.Close()
		p.users = nil
	}
}

// newUsers makes a user namespace with an ID map: an init is born there, and
// ends as soon as the namespace is held.
func (r *Runtime) newUsers(m rootfs.IDMap) (_ *os.File, err error) {
	c, err := r.start(start{clone: unix.CLONE_NEWUSER, users: &idMap{m.UIDs, m.GIDs}})
	if err != nil {
		return nil, fmt.Errorf("make a user namespace with the ID map of the mount: %w", err)
	}
	defer func() { err = errors.Join(err, c.kill(context.Background())) }()
	return os.Open(fmt.Sprintf("/proc/%d/ns/user", c.pid))
}
