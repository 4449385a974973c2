// Package update reads the flags of the update command: the limits to change, as
// a specification has them. A limit that is not named is not in the result. It
// keeps nothing and changes nothing.
package update

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/leanjson"
)

// Flags are those of the command; Resources reads them after flags.Parse.
type Flags struct {
	file  *string
	set   []func(*specs.LinuxResources) // of each flag that was given
	l3    *string
	memBW *string
}

// New defines the flags.
func New(flags *flag.FlagSet) *Flags {
	f := &Flags{
		file:  flags.String("resources", "", "file with a specification's linux.resources as JSON, or - for stdin; all other flags are ignored"),
		l3:    flags.String("l3-cache-schema", "", "schemata of the L3 cache (Intel RDT)"),
		memBW: flags.String("mem-bw-schema", "", "schemata of the memory bandwidth (Intel RDT)"),
	}
	flags.StringVar(f.file, "r", "", "short for --resources")
	number(f, flags, "blkio-weight", "weight of block I/O, 10 to 1000", func(r *specs.LinuxResources, n uint16) { blockIO(r).Weight = &n })
	number(f, flags, "cpu-period", "period of the CPU quota in microseconds", func(r *specs.LinuxResources, n uint64) { cpu(r).Period = &n })
	number(f, flags, "cpu-quota", "CPU time in a period in microseconds; -1: no limit", func(r *specs.LinuxResources, n int64) { cpu(r).Quota = &n })
	number(f, flags, "cpu-burst", "CPU time saved up for later periods in microseconds", func(r *specs.LinuxResources, n uint64) { cpu(r).Burst = &n })
	number(f, flags, "cpu-share", "weight of CPU time", func(r *specs.LinuxResources, n uint64) { cpu(r).Shares = &n })
	number(f, flags, "cpu-rt-period", "period of realtime CPU time in microseconds", func(r *specs.LinuxResources, n uint64) { cpu(r).RealtimePeriod = &n })
	number(f, flags, "cpu-rt-runtime", "realtime CPU time in a period in microseconds", func(r *specs.LinuxResources, n int64) { cpu(r).RealtimeRuntime = &n })
	number(f, flags, "cpu-idle", "1: only time that nobody else wants", func(r *specs.LinuxResources, n int64) { cpu(r).Idle = &n })
	text(f, flags, "cpuset-cpus", "CPUs to run on", func(r *specs.LinuxResources, s string) { cpu(r).Cpus = s })
	text(f, flags, "cpuset-mems", "memory nodes to use", func(r *specs.LinuxResources, s string) { cpu(r).Mems = s })
	size(f, flags, "memory", "memory limit; -1: none", func(r *specs.LinuxResources, n int64) { memory(r).Limit = &n })
	size(f, flags, "memory-reservation", "memory that is kept for the container", func(r *specs.LinuxResources, n int64) { memory(r).Reservation = &n })
	size(f, flags, "memory-swap", "limit of memory and swap together; -1: none", func(r *specs.LinuxResources, n int64) { memory(r).Swap = &n })
	number(f, flags, "pids-limit", "limit of tasks; -1: none", func(r *specs.LinuxResources, n int64) { r.Pids = &specs.LinuxPids{Limit: &n} })
	return f
}

func cpu(r *specs.LinuxResources) *specs.LinuxCPU {
	if r.CPU == nil {
		r.CPU = &specs.LinuxCPU{}
	}
	return r.CPU
}

func memory(r *specs.LinuxResources) *specs.LinuxMemory {
	if r.Memory == nil {
		r.Memory = &specs.LinuxMemory{}
	}
	return r.Memory
}

func blockIO(r *specs.LinuxResources) *specs.LinuxBlockIO {
	if r.BlockIO == nil {
		r.BlockIO = &specs.LinuxBlockIO{}
	}
	return r.BlockIO
}

func number[T uint16 | int64 | uint64](f *Flags, flags *flag.FlagSet, name, usage string, put func(*specs.LinuxResources, T)) {
	flags.Func(name, usage, func(s string) error {
		var n T
		if _, err := fmt.Sscanf(s, "%d", &n); err != nil || fmt.Sprint(n) != strings.TrimPrefix(s, "+") {
			return fmt.Errorf("not a whole number, or out of range")
		}
		f.set = append(f.set, func(r *specs.LinuxResources) { put(r, n) })
		return nil
	})
}

func text(f *Flags, flags *flag.FlagSet, name, usage string, put func(*specs.LinuxResources, string)) {
	flags.Func(name, usage, func(s string) error {
		f.set = append(f.set, func(r *specs.LinuxResources) { put(r, s) })
		return nil
	})
}

func size(f *Flags, flags *flag.FlagSet, name, usage string, put func(*specs.LinuxResources, int64)) {
	flags.Func(name, usage+"; in bytes, or with a suffix of k, m, g, t", func(s string) error {
		n, err := parseSize(s)
		if err != nil {
			return err
		}
		f.set = append(f.set, func(r *specs.LinuxResources) { put(r, n) })
		return nil
	})
}

// parseSize reads bytes with or without a unit; -1 is no limit.
func parseSize(s string) (int64, error) {
	if s == "-1" {
		return -1, nil
	}
	digits := strings.TrimRight(strings.ToLower(s), "kmgtpib")
	shift := 0
	switch strings.ToLower(s)[len(digits):] {
	case "", "b":
	case "k", "kb", "kib":
		shift = 10
	case "m", "mb", "mib":
		shift = 20
	case "g", "gb", "gib":
		shift = 30
	case "t", "tb", "tib":
		shift = 40
	case "p", "pb", "pib":
		shift = 50
	default:
		return 0, fmt.Errorf("a size in bytes with a suffix of k, m, g, t or p is wanted")
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n<<shift>>shift != n {
		return 0, fmt.Errorf("a size in bytes with a suffix of k, m, g, t or p is wanted")
	}
	return n << shift, nil
}

// Resources are the limits to change.
func (f *Flags) Resources(stdin io.Reader) (*specs.LinuxResources, error) {
	r := &specs.LinuxResources{}
	if *f.file == "" {
		for _, set := range f.set {
			set(r)
		}
		return r, nil
	}
	var b []byte
	var err error
	if *f.file == "-" {
		b, err = io.ReadAll(stdin)
	} else {
		b, err = os.ReadFile(*f.file)
	}
	if err != nil {
		return nil, fmt.Errorf("read --resources: %w", err)
	}
	if err := leanjson.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("read --resources %s: %w", *f.file, err)
	}
	return r, nil
}

// IntelRdt are the schemata for the container's group of Intel RDT; nil if the
// flags of it were not given.
func (f *Flags) IntelRdt() *specs.LinuxIntelRdt {
	if *f.l3 == "" && *f.memBW == "" {
		return nil
	}
	return &specs.LinuxIntelRdt{L3CacheSchema: *f.l3, MemBwSchema: *f.memBW}
}
