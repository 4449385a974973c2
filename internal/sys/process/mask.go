package process

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxMask bounds what a list makes us allocate: more processors than any kernel
// is built for.
const MaxMask = 8192

// ParseMask reads a list as the kernel writes them: 0-3,7.
func ParseMask(list string) (Mask, error) {
	var m Mask
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		first, err := maskNumber(low)
		if err != nil {
			return nil, err
		}
		last, err := maskNumber(high)
		if err != nil {
			return nil, err
		}
		if first > last {
			return nil, fmt.Errorf("%q runs backwards", part)
		}
		for len(m) <= last/64 {
			m = append(m, 0)
		}
		for n := first; n <= last; n++ {
			m[n/64] |= 1 << (n % 64)
		}
	}
	return m, nil
}

func maskNumber(s string) (int, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	if n >= MaxMask {
		return 0, fmt.Errorf("%d is above %d", n, MaxMask-1)
	}
	return int(n), nil
}
