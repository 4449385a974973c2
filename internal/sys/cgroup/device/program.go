package device

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// instruction is a struct bpf_insn.
type instruction struct {
	code      uint8
	registers uint8 // destination in the low half, source in the high one
	offset    int16
	imm       int32
}

const (
	opLoad   = unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W
	opMove   = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K
	opCopy   = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_X
	opAnd    = unix.BPF_ALU64 | unix.BPF_AND | unix.BPF_K
	opShift  = unix.BPF_ALU64 | unix.BPF_RSH | unix.BPF_K
	opJumpNE = unix.BPF_JMP | unix.BPF_JNE | unix.BPF_K
	opJumpEQ = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opExit   = unix.BPF_JMP | unix.BPF_EXIT
)

// Registers. The context is a struct bpf_cgroup_dev_ctx: access and type in one
// word, major, minor.
const (
	regResult = iota
	regContext
	regKind
	regAccess
	regMajor
	regMinor
	regScratch
)

// program decides an access: rule by rule from the last one on, each accesses
// bit is granted or refused by the first rule that is about it.
func program(rules []Rule) []instruction {
	prog := []instruction{
		{code: opLoad, registers: regKind | regContext<<4},
		{code: opCopy, registers: regAccess | regKind<<4},
		{code: opAnd, registers: regKind, imm: 0xffff},
		{code: opShift, registers: regAccess, imm: 16},
		{code: opLoad, registers: regMajor | regContext<<4, offset: 4},
		{code: opLoad, registers: regMinor | regContext<<4, offset: 8},
	}
	for _, r := range slices.Backward(rules) {
		prog = append(prog, ruleCode(r)...)
	}
	return append(prog, answer(0)...)
}

func answer(n int32) []instruction {
	return []instruction{{code: opMove, registers: regResult, imm: n}, {code: opExit}}
}

func ruleCode(r Rule) []instruction {
	var code []instruction
	skip := func(op uint8, register uint8, imm int32) {
		code = append(code, instruction{code: op, registers: register, imm: imm})
	}
	switch r.kind {
	case 'b':
		skip(opJumpNE, regKind, unix.BPF_DEVCG_DEV_BLOCK)
	case 'c':
		skip(opJumpNE, regKind, unix.BPF_DEVCG_DEV_CHAR)
	}
	if r.major != anyNumber {
		skip(opJumpNE, regMajor, int32(r.major))
	}
	if r.minor != anyNumber {
		skip(opJumpNE, regMinor, int32(r.minor))
	}
	if r.allow {
		code = append(code, instruction{code: opAnd, registers: regAccess, imm: int32(^r.access)})
		skip(opJumpNE, regAccess, 0)
		code = append(code, answer(1)...)
	} else {
		code = append(code,
			instruction{code: opCopy, registers: regScratch | regAccess<<4},
			instruction{code: opAnd, registers: regScratch, imm: int32(r.access)})
		skip(opJumpEQ, regScratch, 0)
		code = append(code, answer(0)...)
	}
	for i := range code {
		if code[i].code == opJumpNE || code[i].code == opJumpEQ {
			code[i].offset = int16(len(code) - i - 1)
		}
	}
	return code
}

// loadAttr and attachAttr are the beginnings of union bpf_attr.
type loadAttr struct {
	kind, count    uint32
	code, license  uint64
	logLevel, size uint32
	log            uint64
	version, flags uint32
	name           [16]byte
}

type attachAttr struct{ target, program, kind, flags uint32 }

// Attach makes the kernel ask for each access to a device by a process of the
// group whose directory is given. Rules that allow everything need no program.
func Attach(path string, rules []Rule) error {
	if AllowsAll(rules) {
		return nil
	}
	dir, err := unix.Open(path, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open cgroup %s: %w", path, err)
	}
	defer unix.Close(dir)
	return attach(dir, program(rules))
}

func attach(dir int, prog []instruction) error {
	license := []byte("Apache-2.0\x00")
	load := loadAttr{
		kind: unix.BPF_PROG_TYPE_CGROUP_DEVICE, count: uint32(len(prog)),
		code: uint64(uintptr(unsafe.Pointer(&prog[0]))), license: uint64(uintptr(unsafe.Pointer(&license[0]))),
		name: [16]byte{'b', 'e', 'r', 't', 'h', '_', 'd', 'e', 'v'},
	}
	var pin runtime.Pinner
	pin.Pin(&prog[0])
	pin.Pin(&license[0])
	defer pin.Unpin()
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	if err != nil {
		return fmt.Errorf("load the device program: %w", hint(err))
	}
	defer unix.Close(fd)
	to := attachAttr{target: uint32(dir), program: uint32(fd), kind: unix.BPF_CGROUP_DEVICE, flags: unix.BPF_F_ALLOW_MULTI}
	if _, err := bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&to), unsafe.Sizeof(to)); err != nil {
		return fmt.Errorf("attach the device program: %w", hint(err))
	}
	return nil
}

func hint(err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("%w (the kernel needs CONFIG_CGROUP_BPF)", err)
	}
	return err
}

func bpf(command uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		fd, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(attr), size)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR, unix.EAGAIN: // the verifier was interrupted by a signal
			continue
		}
		return -1, errno
	}
}
