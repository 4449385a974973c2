package attributes

import (
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/sys/process"
)

func ptr[T any](v T) *T { return &v }

func TestRefusals(t *testing.T) {
	caps := func(c specs.LinuxCapabilities) func(*specs.Process, *specs.Linux) {
		return func(p *specs.Process, _ *specs.Linux) { p.Capabilities = &c }
	}
	sched := func(s specs.Scheduler) func(*specs.Process, *specs.Linux) {
		return func(p *specs.Process, _ *specs.Linux) { p.Scheduler = &s }
	}
	memory := func(m specs.LinuxMemoryPolicy) func(*specs.Process, *specs.Linux) {
		return func(_ *specs.Process, l *specs.Linux) { l.MemoryPolicy = &m }
	}
	limits := func(list ...specs.POSIXRlimit) func(*specs.Process, *specs.Linux) {
		return func(p *specs.Process, _ *specs.Linux) { p.Rlimits = list }
	}
	chown := []string{"CAP_CHOWN"}
	for _, tt := range []struct {
		change func(*specs.Process, *specs.Linux)
		want   string
	}{
		{func(p *specs.Process, _ *specs.Linux) { p.Args = nil }, "no command specified"},
		{func(p *specs.Process, _ *specs.Linux) { p.Args = []string{"a\x00b"} }, "NUL"},
		{func(p *specs.Process, _ *specs.Linux) { p.Cwd = "tmp" }, `process.cwd "tmp"`},
		{func(p *specs.Process, _ *specs.Linux) { p.Env = []string{"A"} }, `process.env: "A"`},
		{func(p *specs.Process, _ *specs.Linux) { p.Env = []string{"=A"} }, `process.env: "=A"`},
		{func(p *specs.Process, _ *specs.Linux) { p.User.Umask = ptr(uint32(0o1000)) }, "process.user.umask 01000"},
		{func(p *specs.Process, _ *specs.Linux) { p.OOMScoreAdj = ptr(1001) }, "process.oomScoreAdj 1001"},
		{func(p *specs.Process, _ *specs.Linux) { p.Terminal, p.ConsoleSize = true, &specs.Box{Height: 70000} }, "process.consoleSize 70000"},
		{limits(specs.POSIXRlimit{Type: "RLIMIT_X"}), `unknown rlimit "RLIMIT_X"`},
		{limits(specs.POSIXRlimit{Type: "RLIMIT_CORE"}, specs.POSIXRlimit{Type: "RLIMIT_CORE"}), "RLIMIT_CORE is there twice"},
		{limits(specs.POSIXRlimit{Type: "RLIMIT_CORE", Soft: 2, Hard: 1}), "RLIMIT_CORE has a soft limit of 2 above the hard one, 1"},
		{caps(specs.LinuxCapabilities{Effective: chown}), `CAP_CHOWN is in "effective", but not in "permitted"`},
		{caps(specs.LinuxCapabilities{Inheritable: chown}), `CAP_CHOWN is in "inheritable", but not in "bounding"`},
		{caps(specs.LinuxCapabilities{Bounding: chown, Inheritable: chown, Ambient: chown}), `CAP_CHOWN is in "ambient", but not in "permitted"`},
		{sched(specs.Scheduler{}), `process.scheduler.policy "" is unknown`},
		{sched(specs.Scheduler{Policy: "SCHED_OTHER", Nice: 20}), "process.scheduler.nice 20"},
		{sched(specs.Scheduler{Policy: "SCHED_OTHER", Priority: 1}), "process.scheduler.priority 1 needs"},
		{sched(specs.Scheduler{Policy: "SCHED_FIFO", Priority: 100}), "process.scheduler.priority 100"},
		{sched(specs.Scheduler{Policy: "SCHED_RR"}), "process.scheduler.priority 0"},
		{sched(specs.Scheduler{Policy: "SCHED_BATCH", Period: 9}), "period 9 need the policy SCHED_DEADLINE"},
		{sched(specs.Scheduler{Policy: "SCHED_DEADLINE", Runtime: 3000, Deadline: 2000}), "runtime 3000, deadline 2000"},
		{sched(specs.Scheduler{Policy: "SCHED_IDLE", Flags: []specs.LinuxSchedulerFlag{"F"}}), `process.scheduler.flags: "F"`},
		{func(p *specs.Process, _ *specs.Linux) { p.IOPriority = &specs.LinuxIOPriority{Priority: 8} }, "process.ioPriority.priority 8"},
		{func(p *specs.Process, _ *specs.Linux) { p.IOPriority = &specs.LinuxIOPriority{Class: "X"} }, `process.ioPriority.class "X"`},
		{memory(specs.LinuxMemoryPolicy{Mode: "M"}), `linux.memoryPolicy.mode "M"`},
		{memory(specs.LinuxMemoryPolicy{Mode: specs.MpolBind}), "linux.memoryPolicy.nodes is empty"},
		{memory(specs.LinuxMemoryPolicy{Mode: specs.MpolLocal, Nodes: "0"}), `linux.memoryPolicy.nodes "0": the mode MPOL_LOCAL takes no nodes`},
		{memory(specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0-x"}), `linux.memoryPolicy.nodes "0-x": "x" is not a number`},
		{memory(specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{"F"}}), `flags: "F"`},
		{memory(specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes, specs.MpolFRelativeNodes}}), "exclude each other"},
		{func(_ *specs.Process, l *specs.Linux) { l.Personality = &specs.LinuxPersonality{Domain: "MINIX"} }, `linux.personality.domain "MINIX"`},
		{func(_ *specs.Process, l *specs.Linux) {
			l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"F"}}
		}, "linux.personality.flags [F]"},
		{func(p *specs.Process, _ *specs.Linux) { p.ApparmorProfile = "web" }, `process.apparmorProfile "web": AppArmor is not enabled`},
		{func(p *specs.Process, _ *specs.Linux) { p.SelinuxLabel = "a:b:c" }, `process.selinuxLabel "a:b:c": SELinux is not enabled`},
	} {
		p, l := &specs.Process{Args: []string{"true"}, Cwd: "/"}, &specs.Linux{}
		tt.change(p, l)
		if _, err := Resolve(p, l, Host{}); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func TestResolve(t *testing.T) {
	known := []string{"CAP_CHOWN", "CAP_FUTURE"}
	p := &specs.Process{
		Args: []string{"true"}, Env: []string{"A=", "B==\n"},
		Capabilities: &specs.LinuxCapabilities{Bounding: known, Permitted: known, Effective: known, Inheritable: known, Ambient: known},
		Scheduler:    &specs.Scheduler{Policy: "SCHED_DEADLINE", Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagReclaim, specs.SchedFlagResetOnFork}, Runtime: 1024, Deadline: 2048},
		IOPriority:   &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}, ApparmorProfile: "web",
	}
	l := &specs.Linux{
		MemoryPolicy: &specs.LinuxMemoryPolicy{Mode: specs.MpolWeightedInterleave, Nodes: "0,64-65", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}},
		Personality:  &specs.LinuxPersonality{Domain: specs.PerLinux32},
	}
	got, err := Resolve(p, l, Host{AppArmor: true})
	if err != nil {
		t.Fatal(err)
	}
	want := process.Attributes{
		Scheduler:  &process.Scheduler{Policy: 6, Flags: 3, Runtime: 1024, Deadline: 2048},
		IOPriority: 3 << 13, Memory: &process.MemoryPolicy{Mode: 6 | 1<<15, Nodes: process.Mask{1, 3}},
		Personality: ptr(uint32(8)), Label: process.Label{AppArmor: "web"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// Where nothing confines, everything is unconfined.
	if got, err := Resolve(&specs.Process{Args: []string{"x"}, ApparmorProfile: "unconfined"}, &specs.Linux{}, Host{}); err != nil || got.Label.AppArmor != "" {
		t.Error(got, err)
	}
}

func TestAffinity(t *testing.T) {
	for _, tt := range []struct {
		in    *specs.CPUAffinity
		first process.Mask
		last  process.Mask
		err   string
	}{
		{nil, nil, nil, ""},
		{&specs.CPUAffinity{}, nil, nil, ""},
		{&specs.CPUAffinity{Initial: "7", Final: "0-3,7"}, process.Mask{0x80}, process.Mask{0x8f}, ""},
		{&specs.CPUAffinity{Final: "3-1"}, nil, nil, `process.execCPUAffinity.final "3-1": "3-1" runs backwards`},
		{&specs.CPUAffinity{Initial: "9999"}, nil, nil, "9999 is above 8191"},
	} {
		first, last, err := Affinity(tt.in)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%+v: %v", tt.in, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(first, tt.first) || !reflect.DeepEqual(last, tt.last) {
			t.Errorf("%+v: %x, %x, %v", tt.in, first, last, err)
		}
	}
}
