package conformance

import (
	"os"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestProcessAttributes(t *testing.T) {
	b := newBundle(t, "/probe", "hold")
	p, l := b.spec.Process, b.spec.Linux
	p.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}
	p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}
	p.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0-7", Final: "0"}
	p.User = specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{9, 10}, Umask: ptr(uint32(0o027))}
	p.OOMScoreAdj = ptr(321)
	p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Soft: 1, Hard: 2}}
	p.NoNewPrivileges = true
	l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolPreferred, Nodes: "0"}
	r := b.holds()
	if r.Sched.Policy != 3 || r.Sched.Nice != 5 || r.Sched.Flags&1 == 0 {
		t.Errorf("scheduler %+v", r.Sched)
	}
	if r.IOPriority.Class != 3 {
		t.Errorf("I/O priority %+v", r.IOPriority)
	}
	if r.UID != 7 || r.EUID != 7 || r.GID != 8 || r.EGID != 8 || !slices.Equal(r.Groups, []int{9, 10}) || r.Umask != 0o027 {
		t.Errorf("user %d %d, group %d %d, groups %v, umask %#o", r.UID, r.EUID, r.GID, r.EGID, r.Groups, r.Umask)
	}
	if r.OOMScoreAdj != 321 || r.Limits["Max core file size"] != [2]string{"1", "2"} || r.Status["NoNewPrivs"] != "1" || r.Personality != 8 {
		t.Errorf("oom_score_adj %d, core %v, no_new_privs %s, personality %d", r.OOMScoreAdj, r.Limits["Max core file size"], r.Status["NoNewPrivs"], r.Personality)
	}
	exec := b.report(b.exec("/probe").out)
	if !slices.Equal(exec.Affinity, []int{0}) || exec.Personality != 8 || exec.Sched.Nice != 5 {
		t.Errorf("exec: processors %v, personality %d, scheduler %+v", exec.Affinity, exec.Personality, exec.Sched)
	}
}

func TestCapabilitySets(t *testing.T) {
	b := newBundle(t)
	one, two := []string{"CAP_CHOWN", "CAP_KILL"}, []string{"CAP_CHOWN", "CAP_KILL", "CAP_FUTURE"}
	b.spec.Process.User = specs.User{UID: 7}
	b.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: two, Permitted: two, Inheritable: one, Effective: one, Ambient: one[:1]}
	r := b.looks()
	// As another user than root, the ambient ones are what execve leaves.
	for name, want := range map[string]string{"CapBnd": "0000000000000021", "CapInh": "0000000000000021", "CapPrm": "0000000000000001",
		"CapEff": "0000000000000001", "CapAmb": "0000000000000001"} {
		if r.Status[name] != want {
			t.Errorf("%s is %s, want %s", name, r.Status[name], want)
		}
	}
}

func TestContradictingProcesses(t *testing.T) {
	for _, row := range []struct {
		want   string
		change func(*specs.Process)
	}{
		{`RLIMIT_CORE"? is there twice`, func(p *specs.Process) {
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}, {Type: "RLIMIT_CORE"}}
		}},
		{"process.oomScoreAdj 5000", func(p *specs.Process) { p.OOMScoreAdj = ptr(5000) }},
		{"process.scheduler.priority 3", func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Priority: 3} }},
		{"process.cwd \"tmp\"", func(p *specs.Process) { p.Cwd = "tmp" }},
		{"process.ioPriority.priority 9", func(p *specs.Process) {
			p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 9}
		}},
	} {
		b := newBundle(t)
		row.change(b.spec.Process)
		b.fails(row.want)
	}
}

func TestSocketsToListenOn(t *testing.T) {
	b := newBundle(t)
	b.save()
	b.ids = append(b.ids, b.id)
	cmd := b.prepare("run", b.id)
	for range 2 {
		f, err := os.Open(os.DevNull)
		b.must(err)
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1")
	r := b.do(cmd)
	if r.code != 0 {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	got := b.report(r.out)
	if n, _ := got.Getenv("LISTEN_FDS"); n != "1" {
		t.Errorf("LISTEN_FDS is %q", n)
	}
	if pid, _ := got.Getenv("LISTEN_PID"); pid != "1" {
		t.Errorf("LISTEN_PID is %q", pid)
	}
	if _, ok := got.Fds[3]; !ok || got.Fds[4] != "" {
		t.Errorf("descriptors %v, want 3 and not 4", got.Fds)
	}
}
