package main

import (
	"fmt"
	"slices"
)

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

func spread(v []float64) string {
	if len(v) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", median(v), slices.Min(v), slices.Max(v))
}

// ratio divides medians; both were measured in turn.
func ratio(ours, theirs []float64) string {
	if len(ours) == 0 || median(theirs) == 0 {
		return "–"
	}
	r := median(ours) / median(theirs)
	if r > 0 && r < 1 {
		return fmt.Sprintf("%.3f (1/%.1f)", r, 1/r)
	}
	return fmt.Sprintf("%.2f", r)
}
