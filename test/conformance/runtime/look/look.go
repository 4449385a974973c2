package look

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Around reads everything. What a thread has of its own is that of the first,
// which the runtime made.
func Around() *Report {
	r := &Report{
		Args: os.Args, Env: os.Environ(),
		Pid: os.Getpid(), Ppid: os.Getppid(), UID: os.Getuid(), EUID: os.Geteuid(), GID: os.Getgid(), EGID: os.Getegid(),
		Cgroup: read("/proc/self/cgroup"), Attr: strings.TrimRight(read("/proc/self/attr/current"), "\x00\n"),
		UIDMap: squeeze(read("/proc/self/uid_map")), GIDMap: squeeze(read("/proc/self/gid_map")),
		Fds: fds(), Namespaces: namespaces(), Mounts: ParseMounts(read("/proc/self/mountinfo")),
		Status: status(), Limits: limits(), TimeOffsets: offsets(),
		Monotonic: clock(unix.CLOCK_MONOTONIC), Boottime: clock(unix.CLOCK_BOOTTIME),
	}
	r.Cwd, _ = unixCwd()
	r.Executable, _ = os.Readlink("/proc/self/exe")
	r.Groups, _ = os.Getgroups()
	r.Sid, _ = unix.Getsid(0)
	r.Pgid, _ = unix.Getpgid(0)
	r.Umask = unix.Umask(0)
	unix.Umask(r.Umask)
	r.OOMScoreAdj, _ = strconv.Atoi(strings.TrimSpace(read("/proc/self/oom_score_adj")))
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		r.Hostname, r.Domain, r.Machine = text(u.Nodename[:]), text(u.Domainname[:]), text(u.Machine[:])
	}
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		r.Links = append(r.Links, i.Name)
	}
	r.Keyring, _ = unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	r.attributes()
	if size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ); err == nil {
		name, _ := os.Readlink("/proc/self/fd/0")
		r.Terminal = &Terminal{Rows: int(size.Row), Columns: int(size.Col), Name: name}
	}
	return r
}

// attributes are those that system calls alone tell.
func (r *Report) attributes() {
	if a, err := unix.SchedGetAttr(os.Getpid(), 0); err == nil {
		r.Sched = Sched{Policy: uint64(a.Policy), Flags: a.Flags, Nice: int(a.Nice), Priority: int(a.Priority),
			Runtime: a.Runtime, Deadline: a.Deadline, Period: a.Period}
	}
	const whoProcess = 1
	if p, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, whoProcess, uintptr(os.Getpid()), 0); errno == 0 {
		r.IOPriority = IOPriority{Class: int(p >> 13), Level: int(p & 0x1fff)}
	}
	const ask = 0xffffffff
	if p, _, errno := unix.Syscall(unix.SYS_PERSONALITY, ask, 0, 0); errno == 0 {
		r.Personality = uint(p)
	}
	var mode int32
	var nodes [16]uint64
	const bits = 16 * 64
	if _, _, errno := unix.Syscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&mode)), uintptr(unsafe.Pointer(&nodes[0])), bits, 0, 0, 0); errno == 0 {
		r.MemoryPolicy.Mode = int(mode)
		for n := range bits {
			if nodes[n/64]&(1<<(n%64)) != 0 {
				r.MemoryPolicy.Nodes = append(r.MemoryPolicy.Nodes, n)
			}
		}
	}
	var set unix.CPUSet
	if unix.SchedGetaffinity(os.Getpid(), &set) == nil {
		for cpu := range 1024 {
			if set.IsSet(cpu) {
				r.Affinity = append(r.Affinity, cpu)
			}
		}
	}
}

// unixCwd is the kernel's word: os.Getwd believes $PWD.
func unixCwd() (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Getcwd(b)
	if err != nil {
		return "", err
	}
	return string(b[:n-1]), nil
}

func read(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}

func squeeze(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

func text(b []byte) string { return unix.ByteSliceToString(b) }

// fds leaves out what the Go runtime and this function opened.
func fds() map[int]string {
	list := map[int]string{}
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return list
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		fd, _ := strconv.Atoi(name)
		target, err := os.Readlink("/proc/self/fd/" + name)
		if err != nil || fd == int(dir.Fd()) || strings.HasPrefix(target, "anon_inode:[event") {
			continue
		}
		list[fd] = target
	}
	return list
}

func namespaces() map[string]string {
	list := map[string]string{}
	names, _ := filepath.Glob("/proc/self/ns/*")
	for _, path := range names {
		list[filepath.Base(path)], _ = os.Readlink(path)
	}
	return list
}

func status() map[string]string {
	list := map[string]string{}
	for line := range strings.Lines(read("/proc/self/status")) {
		key, value, _ := strings.Cut(line, ":")
		list[key] = strings.TrimSpace(value)
	}
	return list
}

// limits asks a child: Go raises its own soft limit of open files, and gives the
// old one back to what it executes.
func limits() map[string][2]string {
	list := map[string][2]string{}
	out, err := exec.Command("/bin/busybox", "cat", "/proc/self/limits").Output()
	if err != nil {
		out = []byte(read("/proc/self/limits"))
	}
	for line := range strings.Lines(string(out)) {
		const nameWidth = 26
		if len(line) < nameWidth || strings.HasPrefix(line, "Limit") {
			continue
		}
		if f := strings.Fields(line[nameWidth:]); len(f) >= 2 {
			list[strings.TrimSpace(line[:nameWidth])] = [2]string{f[0], f[1]}
		}
	}
	return list
}

func offsets() map[string][2]string {
	list := map[string][2]string{}
	for line := range strings.Lines(read("/proc/self/timens_offsets")) {
		if f := strings.Fields(line); len(f) == 3 {
			list[f[0]] = [2]string{f[1], f[2]}
		}
	}
	return list
}

func clock(id int32) int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(id, &ts)
	return ts.Sec
}

// ParseMounts reads a mountinfo.
func ParseMounts(s string) []Mount {
	var mounts []Mount
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		sep := slices.Index(f, "-")
		if sep < 6 || len(f) < sep+4 {
			continue
		}
		m := Mount{Root: unescape(f[3]), Point: unescape(f[4]), Options: strings.Split(f[5], ","), Propagation: f[6:sep],
			Type: f[sep+1], Source: unescape(f[sep+2]), Super: strings.Split(f[sep+3], ",")}
		m.ID, _ = strconv.Atoi(f[0])
		m.Parent, _ = strconv.Atoi(f[1])
		mounts = append(mounts, m)
	}
	return mounts
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace
