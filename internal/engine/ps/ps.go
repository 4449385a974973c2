// Package ps lists the processes of a cgroup as ps does, from /proc, without
// running a program.
//
// A process that ends while it is read is left out.
package ps

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// ticksPerSecond is USER_HZ, the same on every architecture that Linux has Go for.
const ticksPerSecond = 100

// Table is a header and a row for each process.
type Table struct {
	Titles []string
	Rows   [][]string
}

// Process is one process as /proc shows it.
type Process struct {
	Pid, PPid     int
	UID           int
	State         string
	TTY           int
	CPU           time.Duration
	Start         time.Time
	VSZ, RSS      int64 // KiB
	Comm, Args    string
	Nice, Threads int
}

// List returns the processes with these pids.
func List(pids []int, args string, now time.Time) (Table, error) {
	columns, err := layout(args)
	if err != nil {
		return Table{}, err
	}
	boot, memory, err := machine()
	if err != nil {
		return Table{}, err
	}
	slices.Sort(pids)
	t := Table{Titles: titles(columns)}
	for _, pid := range slices.Compact(pids) {
		p, err := read(pid, boot)
		if err != nil {
			continue
		}
		row := make([]string, 0, len(columns))
		for _, c := range columns {
			row = append(row, p.column(c, now, memory))
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

// layout returns the columns for ps's arguments.
func layout(args string) ([]string, error) {
	fields := strings.Fields(args)
	for i, f := range fields {
		if rest, ok := strings.CutPrefix(f, "-o"); ok || f == "o" {
			if f == "o" {
				rest = ""
			}
			if rest == "" && i+1 < len(fields) {
				rest = fields[i+1]
			}
			return named(rest)
		}
	}
	switch strings.Join(fields, " ") {
	case "", "-ef", "-fe", "ef", "-f", "-Af":
		return []string{"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"}, nil
	case "aux", "-aux", "axu", "u", "auxw", "auxww":
		return []string{"USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND"}, nil
	case "-e", "-A", "ax", "a", "x":
		return []string{"PID", "TTY", "TIME", "CMD"}, nil
	}
	return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("ps arguments %q are not supported: use -ef, aux, -e, or -o with columns", args))
}

// titles are what ps writes above the columns.
func titles(columns []string) []string {
	words := map[string]string{
		"ARGS": "COMMAND", "COMM": "COMMAND", "PCPU": "%CPU", "PMEM": "%MEM", "ETIME": "ELAPSED",
	}
	var list []string
	for _, c := range columns {
		if w, ok := words[c]; ok {
			c = w
		}
		list = append(list, c)
	}
	return list
}

func named(list string) ([]string, error) {
	known := []string{"user", "uid", "pid", "ppid", "c", "stime", "start", "tty", "time", "cmd", "args", "command", "comm", "%cpu", "%mem", "pcpu", "pmem", "vsz", "rss", "stat", "ni", "nlwp", "etime"}
	var columns []string
	for name := range strings.SplitSeq(list, ",") {
		if !slices.Contains(known, name) {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("ps has no column %q here: use %s", name, strings.Join(known, ", ")))
		}
		columns = append(columns, strings.ToUpper(name))
	}
	if !slices.Contains(columns, "PID") {
		return nil, errdefs.ErrInvalidArgument.WithMessage("couldn't find PID field in ps output: add the column pid")
	}
	return columns, nil
}

func (p Process) column(name string, now time.Time, memoryKiB int64) string {
	switch name {
	case "UID", "USER":
		return userName(p.UID)
	case "PID":
		return strconv.Itoa(p.Pid)
	case "PPID":
		return strconv.Itoa(p.PPid)
	case "C":
		return strconv.Itoa(int(p.percent(now)))
	case "%CPU", "PCPU":
		return fmt.Sprintf("%.1f", p.percent(now))
	case "%MEM", "PMEM":
		return fmt.Sprintf("%.1f", 100*float64(p.RSS)/float64(max(memoryKiB, 1)))
	case "STIME", "START":
		return clock(p.Start, now)
	case "ETIME":
		return span(now.Sub(p.Start))
	case "TTY":
		return ttyName(p.TTY)
	case "TIME":
		return span(p.CPU)
	case "VSZ":
		return strconv.FormatInt(p.VSZ, 10)
	case "RSS":
		return strconv.FormatInt(p.RSS, 10)
	case "STAT":
		return p.State
	case "NI":
		return strconv.Itoa(p.Nice)
	case "NLWP":
		return strconv.Itoa(p.Threads)
	case "COMM":
		return p.Comm
	}
	return p.Args
}

func (p Process) percent(now time.Time) float64 {
	if lived := now.Sub(p.Start); lived > 0 {
		return min(100*float64(p.CPU)/float64(lived), 999)
	}
	return 0
}

func clock(t, now time.Time) string {
	if now.Sub(t) < 24*time.Hour {
		return t.Format("15:04")
	}
	return t.Format("Jan02")
}

func span(d time.Duration) string {
	s := int(d.Seconds())
	if s >= 24*3600 {
		return fmt.Sprintf("%d-%02d:%02d:%02d", s/86400, s/3600%24, s/60%60, s%60)
	}
	return fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
}

// userName is the host's name of a user, as ps on the host shows it.
func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

func ttyName(dev int) string {
	major, minor := dev>>8&0xfff, dev&0xff|dev>>12&0xfff00
	switch {
	case dev == 0:
		return "?"
	case major >= 136 && major <= 143:
		return fmt.Sprintf("pts/%d", (major-136)<<8+minor)
	case major == 4:
		return fmt.Sprintf("tty%d", minor)
	}
	return "?"
}

// machine returns when it booted and how much memory it has.
func machine() (boot time.Time, memoryKiB int64, err error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return boot, 0, fmt.Errorf("read /proc/stat: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "btime "); ok {
			secs, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			if err != nil {
				return boot, 0, fmt.Errorf("read /proc/stat: %w", err)
			}
			boot = time.Unix(secs, 0)
		}
	}
	b, err = os.ReadFile("/proc/meminfo")
	if err != nil {
		return boot, 0, fmt.Errorf("read /proc/meminfo: %w", err)
	}
	_, err = fmt.Sscanf(string(b), "MemTotal: %d kB", &memoryKiB)
	return boot, memoryKiB, err
}

func read(pid int, boot time.Time) (Process, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return Process{}, err
	}
	p, err := ParseStat(stat, boot)
	if err != nil {
		return Process{}, err
	}
	info, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return Process{}, err
	}
	for line := range strings.Lines(string(info)) {
		if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
			if f := strings.Fields(rest); len(f) > 1 {
				p.UID, _ = strconv.Atoi(f[1])
			}
		}
	}
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Process{}, err
	}
	p.Args = strings.ToValidUTF8(string(bytes.ReplaceAll(bytes.TrimRight(cmdline, "\x00"), []byte{0}, []byte{' '})), "?")
	if p.Args == "" {
		p.Args = "[" + p.Comm + "]"
	}
	return p, nil
}

// ParseStat reads a line of /proc/pid/stat, see proc_pid_stat(5).
func ParseStat(b []byte, boot time.Time) (Process, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return Process{}, errdefs.ErrDataLoss.WithMessage("a line of /proc/pid/stat is not understood")
	}
	f := strings.Fields(string(b[end+1:])) // f[0] is field 3, the state
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:open])))
	if err != nil || len(f) < 22 {
		return Process{}, errdefs.ErrDataLoss.WithMessage("a line of /proc/pid/stat is not understood")
	}
	n := func(field int) int64 {
		v, err := strconv.ParseInt(f[field-3], 10, 64)
		if err != nil {
			return 0
		}
		return v
	}
	ticks := func(v int64) time.Duration { return time.Duration(v) * (time.Second / ticksPerSecond) }
	return Process{Pid: pid, Comm: strings.ToValidUTF8(string(b[open+1:end]), "?"), State: f[0], PPid: int(n(4)), TTY: int(n(7)),
		CPU: ticks(n(14) + n(15)), Nice: int(n(19)), Threads: int(n(20)), Start: boot.Add(ticks(n(22))),
		VSZ: n(23) >> 10, RSS: n(24) * int64(os.Getpagesize()>>10)}, nil
}

// Pids returns the pids in the cgroup with this path relative to a hierarchy's
// root, and in those below it; where it has none, only init.
func Pids(cgroup string, init int) []int {
	for _, root := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"} {
		if cgroup == "" {
			break
		}
		var pids []int
		// A cgroup that vanishes meanwhile has no processes.
		_ = filepath.WalkDir(filepath.Join(root, cgroup), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				pids = append(pids, procs(filepath.Join(path, "cgroup.procs"))...)
			}
			return nil
		})
		if len(pids) > 0 {
			return pids
		}
	}
	return []int{init}
}

func procs(path string) []int {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var pids []int
	for f := range strings.FieldsSeq(string(b)) {
		if pid, err := strconv.Atoi(f); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
