package cgroup

import "testing"

func TestWithin(t *testing.T) {
	for _, tc := range []struct {
		list, of string
		want     bool
	}{
		{"", "0-3", true}, {"0", "0-3", true}, {"0-3", "0-3", true}, {"2-4", "0-3", false}, {"0,5", "0-3,5", true}, {"0-5", "0-3,4-5", true},
		{"0-5", "4-5,0-3", true}, {"4", "0-3,5", false}, {"7", "", false}, {"0-2000000000", "0-3", false},
	} {
		if got := Within(tc.list, tc.of); got != tc.want {
			t.Errorf("%q within %q: %v", tc.list, tc.of, got)
		}
	}
	cpus, _ := Processors()
	if cpus != "" && !Within(cpus, cpus) {
		t.Error(cpus)
	}
}

func FuzzWithin(f *testing.F) {
	f.Add("0-3,5", "0-7")
	f.Add("x-,", "-1")
	f.Fuzz(func(t *testing.T, list, of string) { Within(list, of) })
}
