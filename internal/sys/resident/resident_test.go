package resident

import (
	"slices"
	"strings"
	"testing"
)

func TestTrim(t *testing.T) {
	if err := Trim(); err != nil {
		t.Fatal(err)
	}
}

const maps = `00400000-00bd3000 r-xp 00000000 fe:00 24 /usr/bin/a b
00bd3000-00c00000 rw-p 007d3000 fe:00 24 /usr/bin/a b
00c00000-00d00000 r--p 007d3000 fe:00 24 /usr/bin/a b
7f0000000000-7f0000001000 r-xp 00000000 00:00 0 [vdso]
7f0000002000-7f0000003000 r-xp 00000000 fe:00 24 /usr/bin/a
7f0000004000-7f0000005000 rw-p 00000000 00:00 0
`

func TestParse(t *testing.T) {
	got, err := parse(strings.NewReader(maps), "/usr/bin/a b")
	if want := []span{{0x400000, 0xbd3000}, {0xc00000, 0xd00000}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(maps, "/usr/bin/a")
	f.Add("x-y r-xp 0 0 0 z\n", "z")
	f.Add("2-1 r-xp 0 0 0 z\n", "z")
	f.Fuzz(func(t *testing.T, maps, file string) {
		spans, _ := parse(strings.NewReader(maps), file)
		for _, s := range spans {
			if s.end < s.begin {
				t.Errorf("%v", s)
			}
		}
	})
}
