package conformance

import (
	"os"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestProcessBasics(t *testing.T) {
	b := newBundle(t, "/probe", "one", "two words")
	b.spec.Process.Cwd = "/tmp"
	b.spec.Process.Env = []string{"PATH=/bin:/", "A=b c", "EMPTY="}
	r := b.looks()
	if want := []string{"/probe", "one", "two words"}; !slices.Equal(r.Args, want) {
		t.Errorf("arguments %q, want %q", r.Args, want)
	}
	if r.Cwd != "/tmp" {
		t.Errorf("working directory %q, want /tmp", r.Cwd)
	}
	for name, want := range map[string]string{"A": "b c", "EMPTY": "", "PATH": "/bin:/"} {
		if got, ok := r.Getenv(name); !ok || got != want {
			t.Errorf("$%s is %q, want %q", name, got, want)
		}
	}
}

// The first of args is looked up in the container's PATH, as execvp does.
func TestProgramInPath(t *testing.T) {
	b := newBundle(t, "probe")
	b.spec.Process.Env = []string{"PATH=/nowhere:/"}
	if got := b.looks().Executable; got != "/probe" {
		t.Errorf("runs %q, want /probe", got)
	}
}

func TestMissingWorkingDirectoryIsMade(t *testing.T) {
	b := newBundle(t)
	b.spec.Process.Cwd = "/var/new/place"
	if got := b.looks().Cwd; got != "/var/new/place" {
		t.Errorf("working directory %q", got)
	}
}

func TestUser(t *testing.T) {
	b := newBundle(t)
	b.spec.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 70000}, Umask: ptr(uint32(0o027))}
	r := b.looks()
	if r.UID != 1000 || r.EUID != 1000 || r.GID != 1001 || r.EGID != 1001 {
		t.Errorf("user %d/%d, group %d/%d; want 1000 and 1001", r.UID, r.EUID, r.GID, r.EGID)
	}
	groups := slices.DeleteFunc(slices.Sorted(slices.Values(r.Groups)), func(g int) bool { return g == 1001 })
	if !slices.Equal(groups, []int{5, 70000}) {
		t.Errorf("groups %v, want 5 and 70000", r.Groups)
	}
	if r.Umask != 0o027 {
		t.Errorf("umask %04o, want 0027", r.Umask)
	}
	if strings.Trim(r.Status["CapEff"], "0") != "" {
		t.Errorf("a user without ambient capabilities has %s", r.Status["CapEff"])
	}
}

// Nothing of the runtime's own process shows in the container's.
func TestNothingIsInherited(t *testing.T) {
	b := newBundle(t)
	b.save()
	b.ids = append(b.ids, b.id)
	secret, err := os.Open("/etc/hostname")
	b.must(err)
	defer secret.Close()
	cmd := b.prepare("run", b.id)
	cmd.ExtraFiles = []*os.File{secret, secret}
	cmd.Env = append(os.Environ(), "SECRET=1")
	res := b.do(cmd)
	if res.code != 0 {
		t.Fatalf("run: exit %d: %s", res.code, res.err)
	}
	r := b.report(res.out)
	if _, ok := r.Getenv("SECRET"); ok {
		t.Error("the runtime's environment is in the container")
	}
	for fd, target := range r.Fds {
		if fd > 2 {
			t.Errorf("descriptor %d is open: %s", fd, target)
		}
	}
	if len(r.Groups) > 1 || len(r.Groups) == 1 && r.Groups[0] != 0 {
		t.Errorf("groups %v, want none", r.Groups)
	}
	if r.Umask != 0o022 {
		t.Errorf("umask %04o, want 0022", r.Umask)
	}
	for _, set := range []string{"CapInh", "CapAmb"} {
		if strings.Trim(r.Status[set], "0") != "" {
			t.Errorf("%s is %s, want none", set, r.Status[set])
		}
	}
}

func TestNoNewPrivileges(t *testing.T) {
	for _, on := range []bool{true, false} {
		b := newBundle(t)
		b.spec.Process.NoNewPrivileges = on
		if got := b.looks().Status["NoNewPrivs"] == "1"; got != on {
			t.Errorf("no_new_privs is %v, want %v", got, on)
		}
	}
}

// bits is a capability set as /proc/PID/status writes it.
func bits(numbers ...uint) string {
	var n uint64
	for _, b := range numbers {
		n |= 1 << b
	}
	s := "0000000000000000"
	h := strings.ToLower(formatHex(n))
	return s[:len(s)-len(h)] + h
}

func TestCapabilities(t *testing.T) {
	const chown, kill, setpcap, bindService, netRaw = 0, 5, 8, 10, 13
	b := newBundle(t)
	b.spec.Process.Capabilities = &specs.LinuxCapabilities{
		Bounding:    []string{"CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETPCAP"},
		Permitted:   []string{"CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"},
		Effective:   []string{"CAP_CHOWN", "CAP_NET_BIND_SERVICE"},
		Inheritable: []string{"CAP_NET_BIND_SERVICE", "CAP_KILL"},
		Ambient:     []string{"CAP_NET_BIND_SERVICE", "CAP_CHOWN"}, // the last cannot be given; `runc spec` has such
	}
	b.spec.Process.User.UID = 1000
	r := b.looks()
	for set, want := range map[string]string{
		"CapBnd": bits(chown, kill, bindService, netRaw, setpcap),
		"CapInh": bits(bindService, kill),
		"CapAmb": bits(bindService),
		"CapPrm": bits(bindService), // execve by another user than root leaves the ambient ones
		"CapEff": bits(bindService),
	} {
		if r.Status[set] != want {
			t.Errorf("%s is %s, want %s", set, r.Status[set], want)
		}
	}
	b = newBundle(t)
	b.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}, Permitted: []string{"CAP_CHOWN"}, Effective: []string{"CAP_CHOWN"}}
	r = b.looks()
	for _, set := range []string{"CapBnd", "CapPrm", "CapEff"} {
		if r.Status[set] != bits(chown) {
			t.Errorf("root: %s is %s, want %s", set, r.Status[set], bits(chown))
		}
	}
}

func TestOOMScoreAdj(t *testing.T) {
	b := newBundle(t)
	b.spec.Process.OOMScoreAdj = ptr(123)
	if got := b.looks().OOMScoreAdj; got != 123 {
		t.Errorf("oom_score_adj %d, want 123", got)
	}
	b = newBundle(t)
	if got := b.looks().OOMScoreAdj; formatUint(uint64(got)) != strings.TrimSpace(read("/proc/self/oom_score_adj")) {
		t.Errorf("oom_score_adj %d, want the runtime's own", got)
	}
}

func TestRlimits(t *testing.T) {
	names := map[string]string{
		"RLIMIT_AS": "Max address space", "RLIMIT_CORE": "Max core file size", "RLIMIT_CPU": "Max cpu time", "RLIMIT_DATA": "Max data size",
		"RLIMIT_FSIZE": "Max file size", "RLIMIT_LOCKS": "Max file locks", "RLIMIT_MEMLOCK": "Max locked memory",
		"RLIMIT_MSGQUEUE": "Max msgqueue size", "RLIMIT_NICE": "Max nice priority", "RLIMIT_NOFILE": "Max open files",
		"RLIMIT_NPROC": "Max processes", "RLIMIT_RSS": "Max resident set", "RLIMIT_RTPRIO": "Max realtime priority",
		"RLIMIT_RTTIME": "Max realtime timeout", "RLIMIT_SIGPENDING": "Max pending signals", "RLIMIT_STACK": "Max stack size",
	}
	big := map[string]uint64{"RLIMIT_AS": 8 << 40, "RLIMIT_DATA": 8 << 40, "RLIMIT_STACK": 8 << 20, "RLIMIT_FSIZE": 1 << 30, "RLIMIT_CPU": 5000, "RLIMIT_NPROC": 500, "RLIMIT_NOFILE": 300}
	small := map[string]uint64{"RLIMIT_NICE": 0, "RLIMIT_RTPRIO": 0, "RLIMIT_CORE": 0, "RLIMIT_MSGQUEUE": 8192, "RLIMIT_MEMLOCK": 8192}
	b := newBundle(t)
	want := map[string][2]string{}
	for kind, name := range names {
		soft, hard := uint64(90), uint64(100)
		if n, ok := big[kind]; ok {
			soft, hard = n-8, n
		}
		if n, ok := small[kind]; ok {
			soft, hard = n, n
		}
		b.spec.Process.Rlimits = append(b.spec.Process.Rlimits, specs.POSIXRlimit{Type: kind, Soft: soft, Hard: hard})
		want[name] = [2]string{formatUint(soft), formatUint(hard)}
	}
	got := b.looks().Limits
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s: %v, want %v", name, got[name], w)
		}
	}
	for _, rows := range []struct {
		want   string
		limits []specs.POSIXRlimit
	}{
		{"RLIMIT_TEST", []specs.POSIXRlimit{{Type: "RLIMIT_TEST", Soft: 1, Hard: 1}}},
		{"RLIMIT_NOFILE", []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1, Hard: 1}, {Type: "RLIMIT_NOFILE", Soft: 2, Hard: 2}}},
	} {
		b := newBundle(t)
		b.spec.Process.Rlimits = rows.limits
		b.fails(rows.want)
	}
}

func TestPersonality(t *testing.T) {
	b := newBundle(t)
	b.spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	r := b.looks()
	const linux32 = 8
	if r.Personality&0xff != linux32 || r.Machine != "i686" {
		t.Errorf("personality %#x on a %s, want %#x on an i686", r.Personality, r.Machine, linux32)
	}
	b = newBundle(t)
	b.spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux}
	if r := b.looks(); r.Personality&0xff != 0 {
		t.Errorf("personality %#x, want 0", r.Personality)
	}
	b = newBundle(t)
	b.spec.Linux.Personality = &specs.LinuxPersonality{Domain: "LINUX64"}
	b.fails("LINUX64")
}

// "Any value which cannot be mapped to a relevant kernel interface … MUST be
// logged as a warning by the runtime."
func TestUnknownCapabilityIsAWarning(t *testing.T) {
	b := newBundle(t)
	b.capable("CAP_FLY")
	res := b.run()
	if res.code != 0 || !strings.Contains(res.err, "CAP_FLY") {
		t.Errorf("exit %d, says %q; want a warning that names CAP_FLY", res.code, res.err)
	}
}
