package volume

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"

	"github.com/berth-containers/berth/internal/sys/loop"
	"github.com/berth-containers/berth/internal/sys/mount"
)

// CheckDriver returns NotFound, in Docker's words, for a driver that there is not.
func CheckDriver(name string) error {
	if name == "" || name == Driver {
		return nil
	}
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("error looking up volume plugin %s: plugin %q not found", name, name))
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// CheckOptions returns InvalidArgument, in Docker's words, for options that the
// driver local does not take: type, device and o, all three or none, and size.
func CheckOptions(options map[string]string) error {
	for name := range options {
		if !slices.Contains([]string{"type", "device", "o", "size"}, name) {
			return invalid("invalid option: %q", name)
		}
	}
	for _, need := range []struct{ given, wanted string }{{"device", "type"}, {"type", "device"}, {"o", "device"}, {"o", "type"}} {
		_, given := options[need.given]
		if _, ok := options[need.wanted]; given && !ok {
			return invalid("missing required option: %q", need.wanted)
		}
	}
	if options["type"] == "cifs" {
		u, err := url.Parse(options["device"])
		if err != nil {
			return invalid("error parsing mount device url: %v", err)
		}
		if u.Port() != "" {
			return invalid("port not allowed in CIFS device URL, include 'port' in 'o='")
		}
	}
	_, err := Size(options)
	return err
}

// Size is the number of bytes that the volume may hold; 0 is no bound.
func Size(options map[string]string) (int64, error) {
	text, ok := options["size"]
	if !ok {
		return 0, nil
	}
	n, err := units.RAMInBytes(text)
	if err != nil || n < 0 {
		return 0, invalid("invalid option: size %q is not a size such as 10G", text)
	}
	return n, nil
}

// Mounted is whether the volume is a filesystem that is mounted while it is used.
func (v Volume) Mounted() bool { return v.Options["type"] != "" || v.Options["device"] != "" }

// Mount makes the files of the volume reachable at its path for one user; the
// first one mounts its filesystem. It is idempotent for a user, and finds what
// an earlier engine mounted.
func (s *Store) Mount(ctx context.Context, name, user string) error {
	v, err := s.Get(name)
	if err != nil || !v.Mounted() {
		return err
	}
	unlock := s.busy(name)
	defer unlock()
	there, err := mount.IsPoint(v.Path)
	if err == nil && !there {
		err = mountFilesystem(ctx, v)
	}
	if err != nil {
		return fmt.Errorf("error while mounting volume '%s': %w", v.Path, err)
	}
	s.hold(name, user)
	return nil
}

func (s *Store) hold(name, user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holders[name] == nil {
		s.holders[name] = map[string]bool{}
	}
	s.holders[name][user] = true
}

// Keep notes a user who has had the volume mounted since before this engine. It
// mounts nothing: after a restart of the machine a server may not answer, and the
// user is not there.
func (s *Store) Keep(name, user string) error {
	v, err := s.Get(name)
	if err != nil || !v.Mounted() {
		return err
	}
	there, err := mount.IsPoint(v.Path)
	if err == nil && there {
		s.hold(name, user)
	}
	return err
}

// Unmount ends the use; the last one unmounts the filesystem.
func (s *Store) Unmount(name, user string) error {
	v, err := s.Get(name)
	if err != nil || !v.Mounted() {
		return nil
	}
	unlock := s.busy(name)
	defer unlock()
	s.mu.Lock()
	delete(s.holders[name], user)
	last := len(s.holders[name]) == 0
	if last {
		delete(s.holders, name)
	}
	s.mu.Unlock()
	if !last {
		return nil
	}
	return unmountFilesystem(v)
}

// Tidy unmounts what an earlier engine mounted and nobody uses.
func (s *Store) Tidy() {
	for _, v := range s.List() {
		if err := s.Unmount(v.Name, ""); err != nil {
			s.log.Warn("unmount a volume that nobody uses", "volume", v.Name, "error", err)
		}
	}
}

// unmountFilesystem takes all away that is mounted at the volume's place.
func unmountFilesystem(v Volume) error {
	for {
		there, err := mount.IsPoint(v.Path)
		if err != nil || !there {
			return err
		}
		if err := mount.Unmount(v.Path, true); err != nil {
			return err
		}
	}
}

// mountFilesystem has Docker's rules for the options.
func mountFilesystem(ctx context.Context, v Volume) error {
	fstype, device, options := v.Options["type"], v.Options["device"], v.Options["o"]
	var err error
	switch fstype {
	case "nfs", "nfs4", "cifs":
		device, options, err = resolve(ctx, fstype, device, options)
	}
	if err != nil {
		return fmt.Errorf("error resolving passed in network volume address: %w", err)
	}
	list := strings.Split(options, ",")
	if info, err := os.Stat(device); err == nil && info.Mode().IsRegular() && !slices.Contains(list, "bind") && !slices.Contains(list, "rbind") {
		// mount(2) wants a block device, mount(8) would make one of a file.
		list = slices.DeleteFunc(list, func(o string) bool { return o == "loop" })
		options = strings.Join(list, ",")
		block, err := loop.Attach(device, slices.Contains(list, "ro"))
		if err != nil {
			return err
		}
		defer block.Close()
		device = block.Name()
	}
	if err := mount.Classic(device, v.Path, fstype, options); err != nil {
		return fmt.Errorf("failed to mount local volume: %s", hidePassword(err.Error()+", data: "+options, options))
	}
	return nil
}

func hidePassword(text, options string) string {
	for o := range strings.SplitSeq(options, ",") {
		if secret, ok := strings.CutPrefix(o, "password="); ok && secret != "" {
			text = strings.ReplaceAll(text, "password="+secret, "password=********")
		}
	}
	return text
}

// resolveLimit is for the name of a server of files.
const resolveLimit = 10 * time.Second

// resolve replaces the name of a server by its address, which is what the kernel takes.
func resolve(ctx context.Context, fstype, device, options string) (string, string, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	list := strings.Split(options, ",")
	for i, o := range list {
		name, ok := strings.CutPrefix(o, "addr=")
		if !ok || name == "" {
			continue
		}
		if _, err := netip.ParseAddr(name); err == nil {
			return device, options, nil
		}
		ip, err := lookup(ctx, name)
		list[i] = "addr=" + ip
		return device, strings.Join(list, ","), err
	}
	if fstype != "cifs" {
		return device, options, nil
	}
	u, err := url.Parse(device)
	if err != nil || u.Host == "" {
		return device, options, err
	}
	ip, err := lookup(ctx, u.Host)
	return strings.Replace(device, u.Host, ip, 1), options, err
}

func lookup(ctx context.Context, name string) (string, error) {
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return "", err
	}
	return addresses[0].Unmap().String(), nil
}
