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
		if !strings.HasPrefix(string(name), "SCMP_ARCH_") {
			return nil, fmt.Errorf("seccomp architecture %q is unknown", name)
		}
	}
	has := func(a specs.Arch) bool { return slices.Contains(names, a) }
	var kernels []kernelArch
	switch goarch {
	case "amd64":
		kernels = append(kernels, kernelArch{unix.AUDIT_ARCH_X86_64, []abi{
			{calls: amd64Calls[:], last: x32Bit - 1, enabled: true},
			{calls: x32Calls[:], first: x32Bit, last: lastCall, enabled: has(specs.ArchX32)},
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
	if i := slices.Index(strings.Fields(socketcall), name); i >= 0 {
		return "socketcall", uint64(i) + 1
	}
	for base, names := range map[uint64]string{1: "semop semget semctl semtimedop", 11: "msgsnd msgrcv msgget msgctl", 21: "shmat shmdt shmget shmctl"} {
		if i := slices.Index(strings.Fields(names), name); i >= 0 {
			return "ipc", base + uint64(i)
		}
	}
	return "", 0
}

const socketcall = `socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom
shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg`
