package publish

import (
	"fmt"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
)

// A flow keeps the translation, or the lack of one, that its first packet met,
// and a UDP flow lives as long as somebody sends.

// ForgetUntranslated drops the UDP flows to ports that are published now and
// were not when they began.
func ForgetUntranslated(mappings []Mapping) error {
	var stale flows
	for _, m := range mappings {
		if m.Proto == "udp" {
			stale = append(stale, func(f *netlink.ConntrackFlow) bool {
				return f.Forward.Protocol == syscall.IPPROTO_UDP && f.Forward.DstPort == m.HostPort &&
					f.Reverse.SrcIP.Equal(f.Forward.DstIP) && f.Reverse.DstIP.Equal(f.Forward.SrcIP)
			})
		}
	}
	return stale.forget()
}

// ForgetTranslated drops the flows of mappings that have been removed.
func ForgetTranslated(mappings []Mapping) error {
	var stale flows
	for _, m := range mappings {
		stale = append(stale, func(f *netlink.ConntrackFlow) bool {
			from, _ := netip.AddrFromSlice(f.Reverse.SrcIP)
			return from.Unmap() == m.To.Addr() && f.Reverse.SrcPort == m.To.Port()
		})
	}
	return stale.forget()
}

// flows are the conditions any of which a flow must meet.
type flows []func(*netlink.ConntrackFlow) bool

// MatchConntrackFlow is the library's question.
func (fs flows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	for _, f := range fs {
		if f(flow) {
			return true
		}
	}
	return false
}

func (fs flows) forget() error {
	if len(fs) == 0 {
		return nil
	}
	if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, netlink.FAMILY_V4, fs); err != nil {
		return fmt.Errorf("forget flows to published ports: %w", err)
	}
	return nil
}
