package wire

import (
	"encoding/binary"
	"errors"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/oci"
	"github.com/berth-containers/berth/internal/sys/process"
	"github.com/berth-containers/berth/internal/sys/seccomp"
)

// The configuration is packed by hand, field by field: reading JSON takes an
// init, which does it once and cold, a third of a millisecond. Each type has one
// function that both packs and unpacks, so that they cannot differ.

// packer packs into out, or unpacks from in.
type packer struct {
	unpack bool
	in     []byte
	out    []byte
	bad    bool
}

// Pack returns c for the init.
func (c *Config) Pack() []byte {
	p := &packer{}
	c.pack(p)
	return p.out
}

// Unpack is Pack's inverse.
func (c *Config) Unpack(b []byte) error {
	p := &packer{unpack: true, in: b}
	c.pack(p)
	if p.bad || len(p.in) != 0 {
		return errors.New("the configuration is not one of this version's")
	}
	return nil
}

func (p *packer) number(v uint64) uint64 {
	if !p.unpack {
		p.out = binary.AppendUvarint(p.out, v)
		return v
	}
	v, n := binary.Uvarint(p.in)
	if n <= 0 {
		p.bad, p.in = true, nil
		return 0
	}
	p.in = p.in[n:]
	return v
}

// integer is any whole number.
func integer[T ~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64](p *packer, v *T) {
	*v = T(p.number(uint64(*v)))
}

func (p *packer) bool(v *bool) {
	n := uint64(0)
	if *v {
		n = 1
	}
	*v = p.number(n) == 1
}

// length packs the length of something whose elements take a byte or more.
func (p *packer) length(n int) int {
	got := p.number(uint64(n))
	if p.unpack && got > uint64(len(p.in)) {
		p.bad, p.in = true, nil
		return 0
	}
	return int(got)
}

func (p *packer) string(v *string) {
	n := p.length(len(*v))
	if !p.unpack {
		p.out = append(p.out, *v...)
		return
	}
	*v, p.in = string(p.in[:n]), p.in[n:]
}

func list[T any](p *packer, v *[]T, element func(*packer, *T)) {
	n := p.length(len(*v))
	if p.unpack && n > 0 {
		*v = make([]T, n)
	}
	for i := range *v {
		element(p, &(*v)[i])
	}
}

// optional packs a pointer that may be nil.
func optional[T any](p *packer, v **T, element func(*packer, *T)) {
	set := *v != nil
	p.bool(&set)
	if !set {
		return
	}
	if p.unpack {
		*v = new(T)
	}
	element(p, *v)
}

func (p *packer) strings(v *[]string) { list(p, v, (*packer).string) }

func (c *Config) pack(p *packer) {
	p.bool(&c.Exec)
	integer(p, &c.ExecFlags)
	optional(p, &c.Process, packProcess)
	packAttributes(p, &c.Attributes)
	optional(p, &c.Seccomp, packFilter)
	p.string(&c.Listener)
	list(p, &c.Preserved, integer[int])
	integer(p, &c.ListenFDs)
	for _, b := range []*bool{&c.Gate, &c.User, &c.Joined, &c.NewTime, &c.NewNet, &c.NewCgroup, &c.CgroupV2} {
		p.bool(b)
	}
	integer(p, &c.UID)
	integer(p, &c.GID)
	list(p, &c.TimeOffsets, func(p *packer, o *TimeOffset) {
		p.string(&o.Clock)
		integer(p, &o.Secs)
		integer(p, &o.Nanosecs)
	})
	list(p, &c.Joins, func(p *packer, j *Join) {
		integer(p, &j.Flag)
		p.string(&j.Path)
	})
	list(p, &c.Sysctl, func(p *packer, s *Sysctl) {
		p.string(&s.Name)
		p.string(&s.File)
		p.string(&s.Value)
	})
	p.string(&c.Hostname)
	p.string(&c.Domainname)
	c.Root.pack(p)
	c.Hooks.pack(p)
	p.bool(&c.KeepKeyring)
}

func (h *ContainerHooks) pack(p *packer) {
	p.bool(&h.Runtime)
	for _, hooks := range []*[]specs.Hook{&h.Create, &h.Start} {
		list(p, hooks, func(p *packer, h *specs.Hook) {
			p.string(&h.Path)
			p.strings(&h.Args)
			p.strings(&h.Env)
			optional(p, &h.Timeout, integer[int])
		})
	}
	p.string(&h.CreatingState)
	p.string(&h.CreatedState)
}

func (r *Root) pack(p *packer) {
	p.string(&r.Path)
	optional(p, &r.Rootfs, packRootfs)
	p.bool(&r.Readonly)
	p.string(&r.Propagation)
	list(p, &r.Mounts, func(p *packer, m *specs.Mount) {
		p.string(&m.Destination)
		p.string(&m.Type)
		p.string(&m.Source)
		p.strings(&m.Options)
		list(p, &m.UIDMappings, packMapping)
		list(p, &m.GIDMappings, packMapping)
	})
	list(p, &r.Devices, packDevice)
	p.strings(&r.Masked)
	p.strings(&r.ReadOnly)
	p.string(&r.Label)
	p.bool(&r.NoPivot)
	p.bool(&r.Mapped)
	p.bool(&r.InPlace)
	p.bool(&r.SharedPid)
	p.bool(&r.Inherited)
}

func packMapping(p *packer, m *specs.LinuxIDMapping) {
	integer(p, &m.ContainerID)
	integer(p, &m.HostID)
	integer(p, &m.Size)
}

func packRootfs(p *packer, r *oci.Rootfs) {
	p.strings(&r.Lowers)
	p.string(&r.Upper)
	p.string(&r.Work)
	p.bool(&r.Host)
	p.strings(&r.Hidden)
}

func packDevice(p *packer, d *specs.LinuxDevice) {
	p.string(&d.Path)
	p.string(&d.Type)
	integer(p, &d.Major)
	integer(p, &d.Minor)
	optional(p, &d.FileMode, func(p *packer, m *os.FileMode) { integer(p, (*uint32)(m)) })
	optional(p, &d.UID, integer[uint32])
	optional(p, &d.GID, integer[uint32])
}

func packFilter(p *packer, f *seccomp.Filter) {
	program := string(f.Prog)
	p.string(&program)
	f.Prog = []byte(program)
	integer(p, &f.Flags)
}

// packProcess leaves out what the runtime refuses or does itself.
func packProcess(p *packer, v *specs.Process) {
	p.bool(&v.Terminal)
	optional(p, &v.ConsoleSize, func(p *packer, b *specs.Box) {
		integer(p, &b.Height)
		integer(p, &b.Width)
	})
	integer(p, &v.User.UID)
	integer(p, &v.User.GID)
	optional(p, &v.User.Umask, integer[uint32])
	list(p, &v.User.AdditionalGids, integer[uint32])
	p.string(&v.User.Username)
	p.strings(&v.Args)
	p.strings(&v.Env)
	p.string(&v.Cwd)
	optional(p, &v.Capabilities, func(p *packer, c *specs.LinuxCapabilities) {
		for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Inheritable, &c.Permitted, &c.Ambient} {
			p.strings(set)
		}
	})
	list(p, &v.Rlimits, func(p *packer, l *specs.POSIXRlimit) {
		p.string(&l.Type)
		integer(p, &l.Hard)
		integer(p, &l.Soft)
	})
	p.bool(&v.NoNewPrivileges)
	optional(p, &v.OOMScoreAdj, integer[int])
}

func packAttributes(p *packer, a *process.Attributes) {
	optional(p, &a.Scheduler, func(p *packer, s *process.Scheduler) {
		integer(p, &s.Policy)
		integer(p, &s.Flags)
		integer(p, &s.Nice)
		integer(p, &s.Priority)
		integer(p, &s.Runtime)
		integer(p, &s.Deadline)
		integer(p, &s.Period)
	})
	integer(p, &a.IOPriority)
	list(p, (*[]uint64)(&a.Affinity), integer[uint64])
	optional(p, &a.Memory, func(p *packer, m *process.MemoryPolicy) {
		integer(p, &m.Mode)
		list(p, (*[]uint64)(&m.Nodes), integer[uint64])
	})
	optional(p, &a.Personality, integer[uint32])
	p.string(&a.Label.AppArmor)
	p.string(&a.Label.SELinux)
}
