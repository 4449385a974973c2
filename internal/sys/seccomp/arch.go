package seccomp

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// call is a system call's number.
type call struct {
	name string
	nr   uint32
}

// abi is a table of calls within a kernel architecture.
type abi struct {
	calls       []call
	first, last uint32 // its numbers
	narrow      bool   // arguments have 32 bits
	multiplexed bool   // older programs reach some calls through socketcall and ipc
	enabled     bool   // else a call of it has the wrong architecture
}

// kernelArch is an architecture as the kernel reports it to a filter.
type kernelArch struct {
	audit uint32
	abis  []abi // in the order of their numbers
}

const (
	x32Bit      = 0x40000000
	noCall      = 0xffffffff // a tracer has cancelled the call
	lastCall    = noCall - 1
	privateCall = 0xf0000 // arm's own calls are from here on
)

// kernelsOf returns what a filter on goarch has to tell apart, the native one
// first. The native architecture is always among them.
func kernelsOf(goarch string, names []specs.Arch) ([]kernelArch, error) {
	for _, name := range names {
		if !slices.Contains(Archs(), name) {
			return nil, fmt.Errorf("seccomp architecture %q is unknown", name)
		}
	}
	has := func(a specs.Arch) bool { return slices.Contains(names, a) }
	var kernels []kernelArch
	switch goarch {
	case "amd64":
		kernels = append(kernels, kernelArch{unix.AUDIT_ARCH_X86_64, []abi{
			{calls: amd64Calls[:], last: x32Bit - 1, enabled: true},
			{calls: x32Calls[:], first: x32Bit, last: lastCall, narrow: true, enabled: has(specs.ArchX32)},
		}})
		if has(specs.ArchX86) {
			kernels = append(kernels, kernelArch{unix.AUDIT_ARCH_I386, []abi{{calls: x86Calls[:], last: lastCall, narrow: true, multiplexed: true, enabled: true}}})
		}
	case "arm64":
		kernels = append(kernels, kernelArch{unix.AUDIT_ARCH_AARCH64, []abi{{calls: arm64Calls[:], last: lastCall, enabled: true}}})
		if has(specs.ArchARM) {
			kernels = append(kernels, kernelArch{unix.AUDIT_ARCH_ARM, []abi{{calls: armCalls[:], last: lastCall, narrow: true, enabled: true}}})
		}
	default:
		return nil, fmt.Errorf("seccomp profiles are not supported on %s", goarch)
	}
	return kernels, nil
}

// index is the place of a call in the table.
func (a abi) index(name string) (int, bool) {
	return slices.BinarySearchFunc(a.calls, name, func(c call, n string) int { return strings.Compare(c.name, n) })
}

// multiplexer returns the call through which name can be reached as well, and
// its first argument then.
func multiplexer(name string) (through string, number uint64) {
	i, ok := slices.BinarySearchFunc(multiplexed[:], name, func(m multiplex, n string) int { return strings.Compare(m.name, n) })
	if !ok {
		return "", 0
	}
	return multiplexed[i].through, multiplexed[i].number
}

type multiplex struct {
	name, through string
	number        uint64
}

// multiplexed is sorted by name (linux/net.h, linux/ipc.h).
var multiplexed = [...]multiplex{
	{"accept", "socketcall", 5},
	{"accept4", "socketcall", 18},
	{"bind", "socketcall", 2},
	{"connect", "socketcall", 3},
	{"getpeername", "socketcall", 7},
	{"getsockname", "socketcall", 6},
	{"getsockopt", "socketcall", 15},
	{"listen", "socketcall", 4},
	{"msgctl", "ipc", 14},
	{"msgget", "ipc", 13},
	{"msgrcv", "ipc", 12},
	{"msgsnd", "ipc", 11},
	{"recv", "socketcall", 10},
	{"recvfrom", "socketcall", 12},
	{"recvmmsg", "socketcall", 19},
	{"recvmsg", "socketcall", 17},
	{"semctl", "ipc", 3},
	{"semget", "ipc", 2},
	{"semop", "ipc", 1},
	{"semtimedop", "ipc", 4},
	{"send", "socketcall", 9},
	{"sendmmsg", "socketcall", 20},
	{"sendmsg", "socketcall", 16},
	{"sendto", "socketcall", 11},
	{"setsockopt", "socketcall", 14},
	{"shmat", "ipc", 21},
	{"shmctl", "ipc", 24},
	{"shmdt", "ipc", 22},
	{"shmget", "ipc", 23},
	{"shutdown", "socketcall", 13},
	{"socket", "socketcall", 1},
	{"socketpair", "socketcall", 8},
}
