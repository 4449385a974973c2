package publish

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
)

// together is how long flows to forget are collected: looking through all that
// the kernel knows costs it 10 ms, however many are looked for.
const together = 20 * time.Millisecond

// Flows forgets flows in the background. A flow keeps the translation, or the
// lack of one, that its first packet met, and a UDP flow lives as long as
// somebody sends.
type Flows struct {
	log *slog.Logger

	mu    sync.Mutex
	stale flows

	wake chan struct{}
	stop chan struct{}
	done sync.WaitGroup
}

// NewFlows starts to wait for flows to forget.
func NewFlows(log *slog.Logger) *Flows {
	f := &Flows{log: log, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	f.done.Go(f.run)
	return f
}

// Published drops the UDP flows to ports that are published now and were not
// when they began.
func (f *Flows) Published(mappings []Mapping) {
	var stale flows
	for _, m := range mappings {
		if m.Proto == "udp" {
			stale = append(stale, flow{m.To.Addr().Is6(), func(f *netlink.ConntrackFlow) bool {
				return f.Forward.Protocol == syscall.IPPROTO_UDP && f.Forward.DstPort == m.HostPort &&
					f.Reverse.SrcIP.Equal(f.Forward.DstIP) && f.Reverse.DstIP.Equal(f.Forward.SrcIP)
			}})
		}
	}
	f.forget(stale)
}

// Removed drops the flows of mappings that have been removed.
func (f *Flows) Removed(mappings []Mapping) {
	var stale flows
	for _, m := range mappings {
		stale = append(stale, flow{m.To.Addr().Is6(), func(f *netlink.ConntrackFlow) bool {
			from, _ := netip.AddrFromSlice(f.Reverse.SrcIP)
			return from.Unmap() == m.To.Addr() && f.Reverse.SrcPort == m.To.Port()
		}})
	}
	f.forget(stale)
}

// Close forgets what is still to be forgotten and ends.
func (f *Flows) Close() {
	close(f.stop)
	f.done.Wait()
	f.flush()
}

func (f *Flows) forget(stale flows) {
	if len(stale) == 0 {
		return
	}
	f.mu.Lock()
	f.stale = append(f.stale, stale...)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *Flows) run() {
	for {
		select {
		case <-f.stop:
			return
		case <-f.wake:
		}
		select {
		case <-f.stop:
			return
		case <-time.After(together):
			f.flush()
		}
	}
}

func (f *Flows) flush() {
	f.mu.Lock()
	stale := f.stale
	f.stale = nil
	f.mu.Unlock()
	if len(stale) == 0 {
		return
	}
	for _, family := range []netlink.InetFamily{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		of := stale.of(family)
		if len(of) == 0 {
			continue
		}
		if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, of); err != nil {
			f.log.Warn("old flows to published ports stay", "error", err)
		}
	}
}

// flow is a condition for flows of one family.
type flow struct {
	six   bool
	match func(*netlink.ConntrackFlow) bool
}

// flows are the conditions any of which a flow must meet.
type flows []flow

func (fs flows) of(family netlink.InetFamily) flows {
	return slices.DeleteFunc(slices.Clone(fs), func(f flow) bool { return f.six != (family == netlink.FAMILY_V6) })
}

// MatchConntrackFlow is the library's question.
func (fs flows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	for _, f := range fs {
		if f.match(flow) {
			return true
		}
	}
	return false
}
