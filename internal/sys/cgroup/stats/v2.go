package stats

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// optional is an error that says that this kernel does not count something: no
// such file, or pressure information that is switched off.
func optional(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EOPNOTSUPP)
}

func (r *reader) cpuV2() CPU {
	stat := r.table("cpu", "cpu.stat")
	usec := func(key string) time.Duration { return time.Duration(stat[key]) * time.Microsecond }
	return CPU{
		Usage: usec("usage_usec"), User: usec("user_usec"), System: usec("system_usec"),
		Periods: stat["nr_periods"], ThrottledPeriods: stat["nr_throttled"], Throttled: usec("throttled_usec"),
		Bursts: stat["nr_bursts"], Burst: usec("burst_usec"), Pressure: r.pressure("cpu"),
	}
}

func (r *reader) memoryV2() Memory {
	events := r.table("memory", "memory.events")
	m := Memory{
		Memory: Usage{Usage: r.number("memory", "memory.current"), Peak: r.number("memory", "memory.peak"),
			Limit: r.number("memory", "memory.max"), Failures: events["max"]},
		Swap: Usage{Usage: r.number("memory", "memory.swap.current"), Peak: r.number("memory", "memory.swap.peak"),
			Limit: r.number("memory", "memory.swap.max"), Failures: r.table("memory", "memory.swap.events")["fail"]},
		Raw: r.table("memory", "memory.stat"), UseHierarchy: true,
		OOM: events["oom"], OOMKilled: events["oom_kill"], Pressure: r.pressure("memory"),
	}
	m.Cache = m.Raw["file"]
	return m
}

// ioV2 gives io.stat's lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …" the shape of v1.
func (r *reader) ioV2() IO {
	io := IO{Pressure: r.pressure("io")}
	for line := range strings.Lines(r.text("io", "io.stat")) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		e, ok := parseDevice(f[0])
		if !ok {
			continue
		}
		values := pairs(f[1:])
		add := func(list []Entry, op, key string) []Entry {
			n, ok := values[key]
			if !ok {
				return list
			}
			return append(list, Entry{e.Major, e.Minor, op, n})
		}
		io.ServiceBytes = add(add(add(io.ServiceBytes, "Read", "rbytes"), "Write", "wbytes"), "Discard", "dbytes")
		io.Serviced = add(add(add(io.Serviced, "Read", "rios"), "Write", "wios"), "Discard", "dios")
	}
	io.ServiceBytes, io.Serviced = sortEntries(io.ServiceBytes), sortEntries(io.Serviced)
	return io
}

// pressure reads lines "some avg10=0.00 avg60=0.00 avg300=0.00 total=0".
func (r *reader) pressure(what string) *Pressure {
	return parsePressure(r.text(what, what+".pressure"))
}

func parsePressure(s string) *Pressure {
	if s == "" {
		return nil
	}
	var p Pressure
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		stall := stallOf(f[1:])
		switch f[0] {
		case "some":
			p.Some = stall
		case "full":
			p.Full = stall
		}
	}
	return &p
}

func stallOf(words []string) (s Stall) {
	averages := map[string]*float64{"avg10": &s.Avg10, "avg60": &s.Avg60, "avg300": &s.Avg300}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		if to := averages[key]; to != nil {
			*to, _ = strconv.ParseFloat(value, 64)
		}
	}
	s.Total = time.Duration(pairs(words)["total"]) * time.Microsecond
	return s
}
