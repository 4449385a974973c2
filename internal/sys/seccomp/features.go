package seccomp

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Actions lists the actions that a profile may name.
func Actions() []specs.LinuxSeccompAction {
	return []specs.LinuxSeccompAction{specs.ActAllow, specs.ActErrno, specs.ActKill, specs.ActKillProcess, specs.ActKillThread,
		specs.ActLog, specs.ActNotify, specs.ActTrace, specs.ActTrap}
}

// Operators lists the comparisons.
func Operators() []specs.LinuxSeccompOperator {
	return []specs.LinuxSeccompOperator{specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpLessEqual,
		specs.OpLessThan, specs.OpMaskedEqual, specs.OpNotEqual}
}

// Archs lists the architectures that a profile may name. Those that programs of
// this machine cannot have are skipped.
func Archs() []specs.Arch {
	return []specs.Arch{specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64, specs.ArchMIPS, specs.ArchMIPS64,
		specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32, specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE,
		specs.ArchS390, specs.ArchS390X, specs.ArchPARISC, specs.ArchPARISC64, specs.ArchRISCV64, specs.ArchLOONGARCH64, specs.ArchM68K,
		specs.ArchSH, specs.ArchSHEB}
}

// flagTSync has no constant in the specification's package.
const flagTSync specs.LinuxSeccompFlag = "SECCOMP_FILTER_FLAG_TSYNC"

// Flags lists the flags that a profile may name.
func Flags() []specs.LinuxSeccompFlag {
	return []specs.LinuxSeccompFlag{flagTSync, specs.LinuxSeccompFlagSpecAllow, specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagWaitKillableRecv}
}

func flagNumber(f specs.LinuxSeccompFlag) (uint32, bool) {
	switch f {
	case flagTSync:
		return unix.SECCOMP_FILTER_FLAG_TSYNC, true
	case specs.LinuxSeccompFlagSpecAllow:
		return unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, true
	case specs.LinuxSeccompFlagLog:
		return unix.SECCOMP_FILTER_FLAG_LOG, true
	case specs.LinuxSeccompFlagWaitKillableRecv:
		return unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, true
	}
	return 0, false
}

// SupportedFlags lists those of Flags that the kernel has.
func SupportedFlags() []specs.LinuxSeccompFlag {
	var list []specs.LinuxSeccompFlag
	for _, f := range Flags() {
		number, _ := flagNumber(f)
		if f == specs.LinuxSeccompFlagWaitKillableRecv {
			number |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER // refused without it
		}
		// The flags are looked at before the program, which is not there.
		_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(number), 0)
		if errno == unix.EFAULT {
			list = append(list, f)
		}
	}
	return list
}
