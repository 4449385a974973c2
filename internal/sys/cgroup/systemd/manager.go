package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-containers/berth/internal/sys/cgroup/device"
	"github.com/berth-containers/berth/internal/sys/cgroup/limit"
	"github.com/berth-containers/berth/internal/sys/dbus"
)

// patience bounds a job of systemd.
const patience = 30 * time.Second

// Address is a socket, and whether a message bus listens there or systemd itself.
type Address struct {
	Socket string
	Bus    bool
}

// Caller is the user ID that systemd knows this process by: root of a user
// namespace is the one who made it.
func Caller() (int, error) {
	uid := os.Geteuid()
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return 0, fmt.Errorf("find the own user: %w", err)
	}
	return outside(string(data), uid), nil
}

// outside looks uid up in a uid_map.
func outside(mapping string, uid int) int {
	for line := range strings.Lines(mapping) {
		var inner, outer, count int
		if n, _ := fmt.Sscan(line, &inner, &outer, &count); n == 3 && uid >= inner && uid-inner < count {
			return outer + uid - inner
		}
	}
	return uid
}

// Addresses are where the manager is looked for, in this order: root's is the
// system's, another user's is that of the user's own instance.
func Addresses(uid int, getenv func(string) string) []Address {
	if uid == 0 {
		bus := "/run/dbus/system_bus_socket"
		if a, ok := unixPath(getenv("DBUS_SYSTEM_BUS_ADDRESS")); ok {
			bus = a
		}
		return []Address{{bus, true}, {"/run/systemd/private", false}}
	}
	dir := getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = "/run/user/" + strconv.Itoa(uid)
	}
	bus := filepath.Join(dir, "bus")
	if a, ok := unixPath(getenv("DBUS_SESSION_BUS_ADDRESS")); ok {
		bus = a
	}
	return []Address{{bus, true}, {filepath.Join(dir, "systemd/private"), false}}
}

// unixPath is the path in an address such as unix:path=/run/bus,guid=1.
func unixPath(address string) (string, bool) {
	for a := range strings.SplitSeq(address, ";") {
		rest, ok := strings.CutPrefix(a, "unix:")
		if !ok {
			continue
		}
		for kv := range strings.SplitSeq(rest, ",") {
			if path, ok := strings.CutPrefix(kv, "path="); ok && path != "" {
				return path, true
			}
		}
	}
	return "", false
}

// Manager is a connection to a systemd. It serves one goroutine.
type Manager struct {
	conn    *dbus.Conn
	bus     bool
	version int
}

// Open connects to the first that answers.
func Open(ctx context.Context, addresses []Address) (*Manager, error) {
	var failed []error
	for _, a := range addresses {
		conn, err := dbus.Dial(ctx, a.Socket, a.Bus)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		m := &Manager{conn: conn, bus: a.Bus}
		if err := m.begin(ctx); err != nil {
			conn.Close()
			failed = append(failed, err)
			continue
		}
		return m, nil
	}
	return nil, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf(
		"systemd does not answer (%v); use cgroupfs (without --systemd-cgroup), or start systemd for this user (loginctl enable-linger)", errors.Join(failed...)))
}

// Close ends the connection; units stay.
func (m *Manager) Close() error { return m.conn.Close() }

const (
	systemd1     = "org.freedesktop.systemd1"
	managerPath  = "/org/freedesktop/systemd1"
	managerIface = "org.freedesktop.systemd1.Manager"
)

// method is one of the manager's; without a bus it is called of the peer.
func (m *Manager) method(iface, member string) dbus.Method {
	to := dbus.Method{Path: managerPath, Interface: iface, Member: member}
	if m.bus {
		to.Destination = systemd1
	}
	return to
}

func (m *Manager) call(ctx context.Context, member string, args ...dbus.Value) ([]any, error) {
	return m.conn.Call(ctx, m.method(managerIface, member), args...)
}

// begin asks for the signals that tell of a job's end, and for the version.
func (m *Manager) begin(ctx context.Context) error {
	if m.bus {
		match := dbus.Method{Destination: "org.freedesktop.DBus", Path: "/org/freedesktop/DBus", Interface: "org.freedesktop.DBus", Member: "AddMatch"}
		rule := "type='signal',sender='" + systemd1 + "',interface='" + managerIface + "',member='JobRemoved'"
		if _, err := m.conn.Call(ctx, match, dbus.String(rule)); err != nil {
			return err
		}
	}
	if _, err := m.call(ctx, "Subscribe"); err != nil && !dbus.Is(err, systemd1+".AlreadySubscribed") {
		return err
	}
	reply, err := m.conn.Call(ctx, m.method("org.freedesktop.DBus.Properties", "Get"), dbus.String(managerIface), dbus.String("Version"))
	if err != nil {
		return err
	}
	if len(reply) == 1 {
		text, _ := reply[0].(string)
		m.version = parseVersion(text)
	}
	return nil
}

// State is that of the whole system: "running", "degraded", "stopping" …
func (m *Manager) State(ctx context.Context) (string, error) {
	reply, err := m.conn.Call(ctx, m.method("org.freedesktop.DBus.Properties", "Get"), dbus.String(managerIface), dbus.String("SystemState"))
	if err != nil {
		return "", fmt.Errorf("ask systemd for the system's state: %w", err)
	}
	state, _ := one(reply).(string)
	return state, nil
}

// StartUnit has a unit started; it returns when that is decided, not done.
func (m *Manager) StartUnit(ctx context.Context, name string) error {
	if _, err := m.call(ctx, "StartUnit", dbus.String(name), dbus.String("replace")); err != nil {
		return fmt.Errorf("have systemd start %s: %w", name, err)
	}
	return nil
}

// parseVersion finds the number in "252.30-1~deb12u2", "v249" or "systemd 255".
func parseVersion(s string) int {
	start := strings.IndexAny(s, "0123456789")
	if start < 0 {
		return 0
	}
	s = s[start:]
	if end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		s = s[:end]
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// Place completes the unit by its default slice, and tells which cgroup it will
// have. Another user's systemd has a part of the tree only.
func (m *Manager) Place(ctx context.Context, u Unit, root bool) (Unit, string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	base := ""
	if !root {
		reply, err := m.conn.Call(ctx, m.method("org.freedesktop.DBus.Properties", "Get"), dbus.String(managerIface), dbus.String("ControlGroup"))
		if err != nil {
			return u, "", err
		}
		base, _ = one(reply).(string)
	}
	return place(u, base, root)
}

func place(u Unit, base string, root bool) (Unit, string, error) {
	if u.Slice == "" {
		u.Slice = "user.slice"
		if root {
			u.Slice = "system.slice"
		}
	}
	slice := u.Slice
	if strings.HasSuffix(u.Name, ".slice") {
		slice = u.Name
	}
	path, err := Expand(slice)
	if slice != u.Name {
		path = filepath.Join(path, u.Name)
	}
	return u, filepath.Join("/", base, path), err
}

// Container is what a unit is made of.
type Container struct {
	Unit     Unit
	Pid      int // is put into the scope; not used for a slice
	V2       bool
	Settings []limit.Setting
	Devices  []device.Rule
	// Extra are properties that the user gives.
	Extra dbus.Properties
}

// Start makes the transient unit with the process in it, and returns when it
// runs. A unit of that name that failed before is replaced; one that runs is a
// Conflict.
func (m *Manager) Start(ctx context.Context, c Container) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	props, err := c.properties(m.version)
	if err != nil {
		return err
	}
	start := func() error { return m.job(ctx, "StartTransientUnit", c.Unit.Name, props, dbus.Auxiliary{}) }
	err = start()
	if dbus.Is(err, systemd1+".UnitExists") {
		// What failed stays loaded until somebody says that it was seen.
		if _, reset := m.call(ctx, "ResetFailedUnit", dbus.String(c.Unit.Name)); reset == nil {
			err = start()
		}
	}
	if dbus.Is(err, systemd1+".UnitExists") {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("systemd's unit %s exists and is in use; stop it (systemctl stop %s), or choose another cgroupsPath", c.Unit.Name, c.Unit.Name))
	}
	if err != nil {
		return fmt.Errorf("start systemd's unit %s: %w", c.Unit.Name, err)
	}
	return nil
}

func (c Container) properties(version int) (dbus.Properties, error) {
	props := dbus.Properties{{Name: "Description", Value: dbus.String("berth container " + c.Unit.Name)}, {Name: "DefaultDependencies", Value: dbus.Bool(false)}}
	isSlice := strings.HasSuffix(c.Unit.Name, ".slice")
	if c.Unit.Slice != "" {
		name := "Slice"
		if isSlice { // a slice's parent is in its name
			name = "Wants"
			props = append(props, dbus.Property{Name: name, Value: dbus.Strings{c.Unit.Slice}})
		} else {
			props = append(props, dbus.Property{Name: name, Value: dbus.String(c.Unit.Slice)})
		}
	}
	if !isSlice {
		props = append(props, dbus.Property{Name: "Delegate", Value: dbus.Bool(true)},
			dbus.Property{Name: "PIDs", Value: dbus.Uint32s{uint32(c.Pid)}})
	}
	io := "IOAccounting"
	if !c.V2 {
		io = "BlockIOAccounting"
		props = append(props, devices(c.Devices)...)
	}
	for _, name := range []string{"MemoryAccounting", "CPUAccounting", "TasksAccounting", io} {
		props = append(props, dbus.Property{Name: name, Value: dbus.Bool(true)})
	}
	limits, err := properties(version, c.Settings)
	return append(append(props, limits...), c.Extra...), err
}

// Update changes the given limits until the unit goes.
func (m *Manager) Update(ctx context.Context, unit string, list []limit.Setting) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	props, err := properties(m.version, list)
	if err != nil || len(props) == 0 {
		return err
	}
	if _, err := m.call(ctx, "SetUnitProperties", dbus.String(unit), dbus.Bool(true), props); err != nil {
		return fmt.Errorf("change systemd's unit %s: %w", unit, err)
	}
	return nil
}

// Attach moves one more process into the unit's cgroup, or one below it.
func (m *Manager) Attach(ctx context.Context, unit, below string, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := m.call(ctx, "AttachProcessesToUnit", dbus.String(unit), dbus.String(below), dbus.Uint32s{uint32(pid)}); err != nil {
		return fmt.Errorf("put process %d into systemd's unit %s: %w", pid, unit, err)
	}
	return nil
}

// Stop stops the unit and lets it be forgotten. One that is gone is no error.
func (m *Manager) Stop(ctx context.Context, unit string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := m.job(ctx, "StopUnit", unit)
	if dbus.Is(err, systemd1+".NoSuchUnit") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop systemd's unit %s: %w", unit, err)
	}
	// It fails if the unit did not: that is what is wanted.
	_, _ = m.call(ctx, "ResetFailedUnit", dbus.String(unit))
	return nil
}

// job calls a method that begins a job for the unit and waits for its end.
func (m *Manager) job(ctx context.Context, member, unit string, args ...dbus.Value) error {
	const mode = "replace"
	reply, err := m.call(ctx, member, append([]dbus.Value{dbus.String(unit), dbus.String(mode)}, args...)...)
	if err != nil {
		return err
	}
	job, _ := one(reply).(string)
	result := ""
	err = m.conn.Wait(ctx, func(s dbus.Signal) bool {
		if s.Member != "JobRemoved" || len(s.Body) != 4 || s.Body[1] != job {
			return false
		}
		result, _ = s.Body[3].(string)
		return true
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: the job %s takes longer than %v: %w", member, job, patience, err)
	}
	if err == nil && result != "done" {
		return fmt.Errorf("%s: the job ended with %q; systemctl status %s may tell why", member, result, unit)
	}
	return err
}

func one(list []any) any {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

// PathOf is where systemd put the process: its path relative to the hierarchy
// that systemd keeps.
func PathOf(pid int) (string, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return "", fmt.Errorf("find the cgroup that systemd made: %w", err)
	}
	return pathIn(string(data))
}

// pathIn finds v1's hierarchy of systemd, and otherwise the unified one.
func pathIn(lines string) (string, error) {
	path := ""
	for line := range strings.Lines(lines) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) == 3 && (f[1] == "name=systemd" || f[1] == "" && path == "") {
			path = f[2]
			if f[1] != "" {
				break
			}
		}
	}
	if !strings.HasPrefix(path, "/") || path == "/" {
		return "", errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("systemd left the container's process in the cgroup %q", path))
	}
	return path, nil
}
