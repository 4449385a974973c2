// Package events is what the events command prints: one JSON object for each
// reading of a container's statistics and each time that it lacks memory, in
// runc's shape. Times are in nanoseconds, sizes in bytes. It keeps nothing.
package events

import (
	"time"

	"github.com/berth-containers/berth/internal/sys/cgroup/stats"
)

// Event is one line. Data is a Stats, or nothing with the type "oom".
type Event struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Data *Stats `json:"data,omitempty"`
}

// Stats are the data of the type "stats".
type Stats struct {
	CPU     cpu                `json:"cpu"`
	Memory  memory             `json:"memory"`
	Pids    pids               `json:"pids"`
	IO      blkio              `json:"blkio"`
	Hugetlb map[string]hugetlb `json:"hugetlb"`
	Rdt     struct{}           `json:"intel_rdt"`
	Network []struct{}         `json:"network_interfaces"`
}

type cpu struct {
	Usage      usage      `json:"usage"`
	Throttling throttling `json:"throttling"`
	Pressure   *psi       `json:"psi,omitempty"`
}

type usage struct {
	Total        uint64   `json:"total,omitempty"`
	PerCPU       []uint64 `json:"percpu,omitempty"`
	PerCPUKernel []uint64 `json:"percpu_kernel,omitempty"`
	PerCPUUser   []uint64 `json:"percpu_user,omitempty"`
	Kernel       uint64   `json:"kernel"`
	User         uint64   `json:"user"`
}

type throttling struct {
	Periods          uint64 `json:"periods,omitempty"`
	ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
	ThrottledTime    uint64 `json:"throttledTime,omitempty"`
}

type memory struct {
	Cache     uint64            `json:"cache,omitempty"`
	Usage     limited           `json:"usage"`
	Swap      limited           `json:"swap"`
	Kernel    limited           `json:"kernel"`
	KernelTCP limited           `json:"kernelTCP"`
	Raw       map[string]uint64 `json:"raw,omitempty"`
	Pressure  *psi              `json:"psi,omitempty"`
}

type limited struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

type pids struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"`
}

type hugetlb struct {
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

type blkio struct {
	Bytes       []entry `json:"ioServiceBytesRecursive,omitempty"`
	Serviced    []entry `json:"ioServicedRecursive,omitempty"`
	Queued      []entry `json:"ioQueueRecursive,omitempty"`
	ServiceTime []entry `json:"ioServiceTimeRecursive,omitempty"`
	WaitTime    []entry `json:"ioWaitTimeRecursive,omitempty"`
	Merged      []entry `json:"ioMergedRecursive,omitempty"`
	Time        []entry `json:"ioTimeRecursive,omitempty"`
	Pressure    *psi    `json:"psi,omitempty"`
}

type entry struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

type psi struct {
	Some stall `json:"some"`
	Full stall `json:"full"`
}

type stall struct {
	Avg10  float64 `json:"avg10"`
	Avg60  float64 `json:"avg60"`
	Avg300 float64 `json:"avg300"`
	Total  uint64  `json:"total"` // in microseconds
}

// OOM is the event of a lack of memory.
func OOM(id string) Event { return Event{Type: "oom", ID: id} }

// Of is the event of a reading.
func Of(id string, s stats.Stats) Event {
	c, m, io := s.CPU, s.Memory, s.IO
	out := &Stats{
		CPU: cpu{Usage: usage{uint64(c.Usage), nanoseconds(c.PerCPU), nanoseconds(c.PerCPUSystem), nanoseconds(c.PerCPUUser), uint64(c.System), uint64(c.User)},
			Throttling: throttling{c.Periods, c.ThrottledPeriods, uint64(c.Throttled)}, Pressure: pressure(c.Pressure)},
		Memory: memory{m.Cache, of(m.Memory), of(m.Swap), of(m.Kernel), of(m.KernelTCP), m.Raw, pressure(m.Pressure)},
		Pids:   pids(s.Pids),
		IO: blkio{entries(io.ServiceBytes), entries(io.Serviced), entries(io.Queued), entries(io.ServiceTime), entries(io.WaitTime),
			entries(io.Merged), entries(io.Time), pressure(io.Pressure)},
		Hugetlb: map[string]hugetlb{},
	}
	for size, h := range s.Hugepages {
		out.Hugetlb[size] = hugetlb{h.Usage, h.Peak, h.Failures}
	}
	return Event{Type: "stats", ID: id, Data: out}
}

func of(u stats.Usage) limited { return limited{u.Limit, u.Usage, u.Peak, u.Failures} }

func nanoseconds(list []time.Duration) []uint64 {
	var out []uint64
	for _, d := range list {
		out = append(out, uint64(d))
	}
	return out
}

func entries(list []stats.Entry) []entry {
	var out []entry
	for _, e := range list {
		out = append(out, entry(e))
	}
	return out
}

func pressure(p *stats.Pressure) *psi {
	if p == nil {
		return nil
	}
	part := func(s stats.Stall) stall { return stall{s.Avg10, s.Avg60, s.Avg300, uint64(s.Total.Microseconds())} }
	return &psi{part(p.Some), part(p.Full)}
}
