package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/sys/netdev"
	"github.com/berth-containers/berth/internal/undo"
)

// validateNetDevices checks the devices that are to be moved.
func validateNetDevices(l *specs.Linux, p plan) error {
	if len(l.NetDevices) > 0 && p.all&unix.CLONE_NEWNET == 0 {
		return invalid("linux.netDevices is set, but linux.namespaces has no network namespace to move them to: add one")
	}
	used := map[string]string{}
	for _, host := range slices.Sorted(maps.Keys(l.NetDevices)) {
		name := nameInside(l, host)
		// %d stands for a number, for the kernel as well.
		for _, n := range []string{host, strings.Replace(name, "%d", "0", 1)} {
			if n == "" || n == "." || n == ".." || len(n) >= unix.IFNAMSIZ || strings.ContainsAny(n, "/:% \t\n\v\f\r") {
				return invalid("linux.netDevices[%q]: %q cannot be the name of a network device: use up to %d characters without spaces and any of / : %%, but for one %%d", host, n, unix.IFNAMSIZ-1)
			}
		}
		if other, ok := used[name]; ok && !strings.Contains(name, "%d") {
			return invalid("linux.netDevices: %q and %q would both be called %q", other, host, name)
		}
		used[name] = host
	}
	return nil
}

func nameInside(l *specs.Linux, host string) string {
	if name := l.NetDevices[host].Name; name != "" {
		return name
	}
	return host
}

// netDevices are those that a container got from the host. Its network namespace
// is held, since with its last process hardware would lose its address and other
// devices would end.
type netDevices struct {
	host, inside *os.File
	moved        [][2]string // names on the host and inside
}

// moveNetDevices moves the host's devices into the network namespace of the
// container, whose init is there. The caller closes what it returns.
func moveNetDevices(l *specs.Linux, pid int, back *undo.Stack) (d *netDevices, err error) {
	if len(l.NetDevices) == 0 {
		return nil, nil
	}
	path := fmt.Sprintf("/proc/%d/ns/net", pid)
	for _, ns := range l.Namespaces {
		if ns.Type == specs.NetworkNamespace && ns.Path != "" {
			path = ns.Path
		}
	}
	d = &netDevices{}
	back.Add(d.takeBack)
	if d.host, err = os.Open("/proc/self/ns/net"); err == nil {
		d.inside, err = os.Open(path)
	}
	if err != nil {
		return d, fmt.Errorf("open network namespace: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(l.NetDevices)) {
		inside, err := netdev.Move(d.host, name, d.inside, nameInside(l, name))
		if inside != "" {
			d.moved = append(d.moved, [2]string{name, inside})
		}
		if err != nil {
			return d, explainDevice(name, err)
		}
	}
	return d, nil
}

func explainDevice(name string, err error) error {
	switch {
	case errors.Is(err, unix.ENODEV):
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("linux.netDevices[%q]: the host has no network device of this name (%v)", name, err))
	case errors.Is(err, unix.EPERM):
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("linux.netDevices[%q]: only the host's root may move a network device (%v)", name, err))
	}
	return fmt.Errorf("linux.netDevices[%q]: %w", name, err)
}

// takeBack returns the devices of a container that did not come to be.
func (d *netDevices) takeBack(context.Context) error {
	var failed error
	for _, names := range d.moved {
		if _, err := netdev.Move(d.inside, names[1], d.host, names[0]); err != nil {
			failed = errors.Join(failed, fmt.Errorf("take network device %s back: %w", names[0], err))
		}
	}
	d.close()
	return failed
}

func (d *netDevices) close() {
	if d == nil {
		return
	}
	for _, f := range []*os.File{d.host, d.inside} {
		if f != nil {
			f.Close()
		}
	}
}
