package seccomp

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// badArch is what a call of an architecture that the profile lacks gets. One
// thread less would leave a process that hangs.
const badArch = unix.SECCOMP_RET_KILL_PROCESS

const maxErrno = 4095

// profile is a parsed one: actions are what the program returns.
type profile struct {
	fallback uint32
	newer    uint32 // for calls newer than any in the rules
	rules    []rule
}

// rule matches one of names if all args match.
type rule struct {
	names  []string
	action uint32
	args   []specs.LinuxSeccompArg
}

func parse(s *specs.LinuxSeccomp) (profile, error) {
	fallback, err := action(s.DefaultAction, s.DefaultErrnoRet)
	if err != nil {
		return profile{}, fmt.Errorf("defaultAction: %w", err)
	}
	p := profile{fallback: fallback, newer: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
	switch s.DefaultAction {
	case specs.ActAllow, specs.ActLog, specs.ActTrace, specs.ActNotify:
		p.newer = fallback
	}
	for _, c := range s.Syscalls {
		act, err := action(c.Action, c.ErrnoRet)
		if err != nil {
			return profile{}, fmt.Errorf("rule for %v: %w", c.Names, err)
		}
		if err := checkArgs(c.Args); err != nil {
			return profile{}, fmt.Errorf("rule for %v: %w", c.Names, err)
		}
		if !repeats(c.Args) {
			p.rules = append(p.rules, rule{c.Names, act, c.Args})
			continue
		}
		for i := range c.Args {
			p.rules = append(p.rules, rule{c.Names, act, c.Args[i : i+1]})
		}
	}
	return p, nil
}

func action(a specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	data := uint32(unix.EPERM)
	if errno != nil {
		if a != specs.ActErrno && a != specs.ActTrace {
			return 0, fmt.Errorf("seccomp action %s takes no errnoRet, and has %d", a, *errno)
		}
		if *errno > maxErrno {
			return 0, fmt.Errorf("seccomp errnoRet %d is above %d", *errno, maxErrno)
		}
		data = uint32(*errno)
	}
	switch a {
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | data, nil
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | data, nil
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	case specs.ActNotify:
		return unix.SECCOMP_RET_USER_NOTIF, nil
	}
	return 0, fmt.Errorf("seccomp action %q is unknown", a)
}

const maxArgs = 6

func checkArgs(args []specs.LinuxSeccompArg) error {
	for _, a := range args {
		if a.Index >= maxArgs {
			return fmt.Errorf("seccomp argument index %d is above %d", a.Index, maxArgs-1)
		}
		switch a.Op {
		case specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
			specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual:
		default:
			return fmt.Errorf("seccomp operator %q is unknown", a.Op)
		}
	}
	return nil
}

// repeats is whether two conditions are about one argument.
func repeats(args []specs.LinuxSeccompArg) bool {
	var seen [maxArgs]bool
	for _, a := range args {
		if seen[a.Index] {
			return true
		}
		seen[a.Index] = true
	}
	return false
}

// verdict is what happens to a call: the first of conds whose conditions hold,
// else action.
type verdict struct {
	conds  []rule
	narrow bool
	action uint32
}

// segment is the verdict for the call numbers from first up to the next segment.
type segment struct {
	first   uint32
	verdict verdict
}

// segments covers every call number of a kernel architecture, in order.
func (p profile) segments(k kernelArch) []segment {
	var all []segment
	add := func(first uint32, v verdict) {
		if n := len(all); n > 0 {
			last := all[n-1].verdict
			if len(v.conds)+len(last.conds) == 0 && v.action == last.action {
				return
			}
		}
		all = append(all, segment{first, v})
	}
	for _, a := range k.abis {
		if !a.enabled {
			add(a.first, verdict{action: badArch})
			continue
		}
		calls, newest := p.decide(a)
		gap := func(from, to uint32) { // the calls from, but without, to have no rule
			if from < to && from <= newest {
				add(from, verdict{action: p.fallback})
			}
			if from = max(from, newest+1); from < to {
				add(from, verdict{action: p.newer})
			}
		}
		next := a.first
		for _, c := range calls {
			gap(next, c.first)
			add(c.first, c.verdict)
			next = c.first + 1
		}
		gap(next, a.last+1)
	}
	add(noCall, verdict{action: p.fallback})
	return all
}

// decide returns the verdict for each call that has a rule, by number, and the
// highest number that the profile names.
func (p profile) decide(a abi) (calls []segment, newest uint32) {
	d := decision{abi: a, fallback: p.fallback, states: make([]state, len(a.calls))}
	for _, r := range p.rules {
		for _, name := range r.names {
			d.add(name, r)
			if a.multiplexed && len(r.args) == 0 {
				d.multiplexed(name, r)
			}
		}
	}
	var ruled []int
	for i, s := range d.states {
		if s.ruled {
			ruled = append(ruled, i)
		}
	}
	slices.SortFunc(ruled, func(i, j int) int { return cmp.Compare(a.calls[i].nr, a.calls[j].nr) })
	calls = make([]segment, len(ruled))
	for n, i := range ruled {
		calls[n] = segment{a.calls[i].nr, d.states[i].verdict}
	}
	if !d.named {
		return calls, a.last // without names nothing is new
	}
	return calls, d.newest
}

// decision is the work of decide.
type decision struct {
	abi      abi
	fallback uint32
	states   []state // of each call in the table
	named    bool
	newest   uint32
}

type state struct {
	verdict verdict
	ruled   bool // it has a rule
	final   bool // and an unconditional one
}

func (d *decision) add(name string, r rule) {
	i, ok := d.abi.index(name)
	if !ok {
		return
	}
	if nr := d.abi.calls[i].nr; nr&^x32Bit < privateCall {
		d.newest, d.named = max(d.newest, nr), true
	}
	s := &d.states[i]
	if r.action == d.fallback || s.final {
		return
	}
	if !s.ruled {
		s.ruled, s.verdict = true, verdict{narrow: d.abi.narrow, action: d.fallback}
	}
	if len(r.args) == 0 {
		s.verdict.conds, s.verdict.action, s.final = nil, r.action, true
	} else {
		s.verdict.conds = append(s.verdict.conds, r)
	}
}

// multiplexed adds the rule for name to the call that can stand for it.
func (d *decision) multiplexed(name string, r rule) {
	through, number := multiplexer(name)
	if through == "" {
		return
	}
	// ipc's argument has a version in its upper half.
	r.args = []specs.LinuxSeccompArg{{Index: 0, Op: specs.OpMaskedEqual, Value: 0xffff, ValueTwo: number}}
	d.add(through, r)
}

// notifies is whether a call can get the action NOTIFY.
func (p profile) notifies() bool {
	return p.fallback == unix.SECCOMP_RET_USER_NOTIF || slices.ContainsFunc(p.rules, func(r rule) bool { return r.action == unix.SECCOMP_RET_USER_NOTIF })
}

// checkListener is about what a profile that notifies needs.
func (p profile) checkListener(s *specs.LinuxSeccomp, native abi) error {
	if s.ListenerPath == "" && s.ListenerMetadata != "" {
		return fmt.Errorf("seccomp listenerMetadata %q needs a listenerPath", s.ListenerMetadata)
	}
	if !p.notifies() {
		return nil
	}
	if !path.IsAbs(s.ListenerPath) {
		return fmt.Errorf("seccomp action %s needs a listenerPath that is absolute, not %q: nothing would answer", specs.ActNotify, s.ListenerPath)
	}
	calls, _ := p.decide(native)
	read := p.fallback
	if i, ok := native.index("read"); ok {
		for _, c := range calls {
			if c.first == native.calls[i].nr && len(c.verdict.conds) == 0 {
				read = c.verdict.action
			}
		}
	}
	switch read {
	case unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_LOG, unix.SECCOMP_RET_USER_NOTIF:
		return nil
	}
	return fmt.Errorf("seccomp action %s needs read to be allowed or notified: by it the program is held back until the agent is there", specs.ActNotify)
}
