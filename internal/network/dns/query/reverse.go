package query

import (
	"net/netip"
	"strings"
)

// Reverse is the address that a name of in-addr.arpa or ip6.arpa stands for.
func Reverse(name string) (netip.Addr, bool) {
	if digits, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(digits, ".")
		if len(parts) != 4 {
			return netip.Addr{}, false
		}
		parts[0], parts[1], parts[2], parts[3] = parts[3], parts[2], parts[1], parts[0]
		a, err := netip.ParseAddr(strings.Join(parts, "."))
		return a, err == nil
	}
	digits, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(digits) != 63 {
		return netip.Addr{}, false
	}
	var b [16]byte
	for i := range 32 {
		nibble := strings.IndexByte("0123456789abcdef", digits[62-2*i])
		if nibble < 0 || i < 31 && digits[61-2*i] != '.' {
			return netip.Addr{}, false
		}
		b[i/2] = b[i/2]<<4 | byte(nibble)
	}
	return netip.AddrFrom16(b), true
}
