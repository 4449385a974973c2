package seccomp

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// instruction is a struct sock_filter.
type instruction struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// Offsets in struct seccomp_data; arguments are little-endian.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

const (
	opLoad         = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opReturn       = unix.BPF_RET | unix.BPF_K
	opAnd          = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opJump         = unix.BPF_JMP | unix.BPF_JA
	opEqual        = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opGreater      = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	opGreaterEqual = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
)

// label is the place of an instruction, counted from the program's end.
type label int

// program is written from its end to its beginning, so that the distance of
// every jump is known when it is written.
type program struct {
	reversed []instruction
	returns  map[uint32]label // the latest return of each value
}

// near is how far a conditional jump reaches, less the jumps that may have to
// stand between it and its targets.
const near = 255 - 2

// assemble returns the program: by architecture, then by number.
func assemble(kernels []kernelArch, p profile) []instruction {
	g := &program{returns: map[uint32]label{}}
	next := g.ret(badArch)
	for _, k := range slices.Backward(kernels) {
		search := g.search(p.segments(k))
		search = g.emit(instruction{code: opLoad, k: offsetNumber}, search)
		next = g.branch(opEqual, k.audit, search, next)
	}
	g.emit(instruction{code: opLoad, k: offsetArch}, next)
	slices.Reverse(g.reversed)
	return g.reversed
}

// emit writes an instruction that goes on at next.
func (g *program) emit(i instruction, next label) label {
	if int(next) != len(g.reversed)-1 {
		g.reversed = append(g.reversed, instruction{code: opJump, k: uint32(len(g.reversed) - int(next) - 1)})
	}
	g.reversed = append(g.reversed, i)
	return label(len(g.reversed) - 1)
}

func (g *program) ret(value uint32) label {
	if l, ok := g.returns[value]; ok && len(g.reversed)-int(l) < near {
		return l
	}
	g.reversed = append(g.reversed, instruction{code: opReturn, k: value})
	l := label(len(g.reversed) - 1)
	g.returns[value] = l
	return l
}

// branch compares and goes on at yes or no, by a long jump if one is too far.
func (g *program) branch(op uint16, k uint32, yes, no label) label {
	yes, no = g.reach(yes), g.reach(no)
	at := len(g.reversed)
	g.reversed = append(g.reversed, instruction{op, uint8(at - int(yes) - 1), uint8(at - int(no) - 1), k})
	return label(at)
}

func (g *program) reach(l label) label {
	distance := len(g.reversed) - int(l) - 1
	if distance < near {
		return l
	}
	g.reversed = append(g.reversed, instruction{code: opJump, k: uint32(distance)})
	return label(len(g.reversed) - 1)
}

// search finds the segment of the number in the accumulator.
func (g *program) search(s []segment) label {
	if len(s) == 1 {
		return g.verdict(s[0].verdict)
	}
	middle := len(s) / 2
	upper := g.search(s[middle:])
	lower := g.search(s[:middle])
	return g.branch(opGreaterEqual, s[middle].first, upper, lower)
}

func (g *program) verdict(v verdict) label {
	next := g.ret(v.action)
	for _, r := range slices.Backward(v.conds) {
		yes := g.ret(r.action)
		for _, a := range slices.Backward(r.args) {
			yes = g.condition(a, v.narrow, yes, next)
		}
		next = yes
	}
	return next
}

// condition compares an argument word by word, the high one first.
func (g *program) condition(a specs.LinuxSeccompArg, narrow bool, yes, no label) label {
	switch a.Op {
	case specs.OpNotEqual:
		a.Op, yes, no = specs.OpEqualTo, no, yes
	case specs.OpLessThan:
		a.Op, yes, no = specs.OpGreaterEqual, no, yes
	case specs.OpLessEqual:
		a.Op, yes, no = specs.OpGreaterThan, no, yes
	}
	value, mask := a.Value, ^uint64(0)
	low := uint16(opEqual)
	switch a.Op {
	case specs.OpMaskedEqual:
		value, mask = a.ValueTwo, a.Value
	case specs.OpGreaterEqual:
		low = opGreaterEqual
	case specs.OpGreaterThan:
		low = opGreater
	}
	offset := offsetArgs + 8*uint32(a.Index)
	l := g.branch(low, uint32(value), yes, no)
	l = g.load(offset, uint32(mask), l)
	if narrow {
		return l
	}
	high := uint32(value >> 32)
	l = g.branch(opEqual, high, l, no)
	if low != opEqual {
		l = g.branch(opGreater, high, yes, l)
	}
	return g.load(offset+4, uint32(mask>>32), l)
}

func (g *program) load(offset, mask uint32, next label) label {
	if mask != ^uint32(0) {
		next = g.emit(instruction{code: opAnd, k: mask}, next)
	}
	return g.emit(instruction{code: opLoad, k: offset}, next)
}
