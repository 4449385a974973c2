// Package seccomp compiles OCI seccomp profiles to classic BPF and installs
// them.
//
// A filter is decided per architecture, then by a balanced search over ranges
// of call numbers, so that a call costs about seven comparisons whatever the
// profile's length. The meaning of a profile is that of runc with libseccomp:
// an unconditional rule for a call decides it wherever it stands, the first of
// several counts; conditional rules are tried in order; rules with the default
// action say nothing; names that are unknown here are skipped; an argument
// that one rule names twice makes its conditions alternatives; calls newer than
// any that the profile names get ENOSYS, so that programs fall back, unless the
// default action lets them run. A call of an architecture that the profile does
// not list kills the process.
//
// A filter is a plain value; nothing is left behind by a crash.
package seccomp

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

//go:generate go run ./gen

// Filter is a compiled profile. The zero value filters nothing.
type Filter struct {
	// Prog holds the instructions as the kernel takes them: struct sock_filter
	// of 8 bytes each, little-endian.
	Prog []byte `json:"prog,omitempty"`
	// Flags are those of seccomp(2).
	Flags uint32 `json:"flags,omitempty"`
}

// maxInstructions is the kernel's BPF_MAXINSNS.
const maxInstructions = 4096

// Compile returns the filter of a profile for the machine it runs on; a nil
// profile filters nothing.
func Compile(s *specs.LinuxSeccomp) (Filter, error) {
	if s == nil {
		return Filter{}, nil
	}
	return compileFor(runtime.GOARCH, s)
}

func compileFor(goarch string, s *specs.LinuxSeccomp) (Filter, error) {
	p, err := parse(s)
	if err != nil {
		return Filter{}, err
	}
	flags, err := flagsOf(s.Flags, p.notifies())
	if err != nil {
		return Filter{}, err
	}
	kernels, err := kernelsOf(goarch, s.Architectures)
	if err != nil {
		return Filter{}, err
	}
	if err := p.checkListener(s, kernels[0].abis[0]); err != nil {
		return Filter{}, err
	}
	prog := assemble(kernels, p)
	if len(prog) > maxInstructions {
		return Filter{}, fmt.Errorf("seccomp profile needs %d instructions, the kernel takes %d", len(prog), maxInstructions)
	}
	f := Filter{Flags: flags}
	for _, i := range prog {
		f.Prog = binary.LittleEndian.AppendUint16(f.Prog, i.code)
		f.Prog = append(f.Prog, i.jt, i.jf)
		f.Prog = binary.LittleEndian.AppendUint32(f.Prog, i.k)
	}
	return f, nil
}

// flagsOf are those of seccomp(2), for a profile that notifies or not.
func flagsOf(list []specs.LinuxSeccompFlag, notifies bool) (uint32, error) {
	var flags uint32
	if list == nil {
		// As runc: a profile that names no flags keeps speculative store
		// bypass as fast as it is outside.
		flags = unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	}
	for _, f := range list {
		flag, ok := flagNumber(f)
		if !ok {
			return 0, fmt.Errorf("seccomp flag %q is unknown", f)
		}
		flags |= flag
	}
	// One thread installs it, and what it executes has no other.
	flags &^= unix.SECCOMP_FILTER_FLAG_TSYNC
	if notifies {
		return flags | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, nil
	}
	return flags &^ unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, nil // it is about a listener
}

// Notifies is whether Install returns a listener.
func (f Filter) Notifies() bool { return f.Flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0 }

// Install puts the filter on the calling thread, which must be locked to its
// goroutine. It needs CAP_SYS_ADMIN or no_new_privs. The listener, which is
// closed by execve, is -1 without Notifies.
func (f Filter) Install() (listener int, err error) {
	if len(f.Prog) == 0 {
		return -1, nil
	}
	insns := make([]unix.SockFilter, len(f.Prog)/8)
	for i := range insns {
		b := f.Prog[i*8:]
		insns[i] = unix.SockFilter{
			Code: binary.LittleEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.LittleEndian.Uint32(b[4:]),
		}
	}
	prog := unix.SockFprog{Len: uint16(len(insns)), Filter: &insns[0]}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(f.Flags), uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(insns)
	if errno != 0 {
		return -1, fmt.Errorf("install seccomp filter: %w", errno)
	}
	if !f.Notifies() {
		return -1, nil
	}
	return int(fd), nil
}
