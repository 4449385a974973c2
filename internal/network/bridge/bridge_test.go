package bridge

import (
	"fmt"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
)

// An engine that starts while links of containers come and go must start.
func TestWhole(t *testing.T) {
	tries := 0
	got, err := whole(func() ([]int, error) {
		if tries++; tries < 3 {
			return []int{1}, fmt.Errorf("list: %w", netlink.ErrDumpInterrupted)
		}
		return []int{1, 2}, nil
	})
	if err != nil || !slices.Equal(got, []int{1, 2}) {
		t.Errorf("%v, %v", got, err)
	}
}
