package resident

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const smaps = `00400000-00500000 r-xp 00000000 fe:01 7   /bin/x
Private_Clean:         4 kB
Private_Dirty:         0 kB
Anonymous:             0 kB
00500000-00600000 r--p 00100000 fe:01 7   /bin/x
Private_Dirty:         4 kB
Anonymous:             4 kB
00600000-00700000 rw-p 00200000 fe:01 7   /bin/x
Private_Dirty:         0 kB
00700000-00800000 r--p 00300000 fe:01 7   /bin/x
Private_Dirty:         0 kB
Anonymous:             0 kB
7f00000000-7f00001000 r-xp 00000000 00:00 0   [vdso]
7f00001000-7f00002000 r--p 00000000 fe:01 9   /lib/y
Private_Dirty:         0 kB
7f00002000-7f00003000 rw-p 00000000 00:00 0
`

func TestClean(t *testing.T) {
	got, err := clean(strings.NewReader(smaps), "/bin/x")
	if want := "[{4194304 5242880} {7340032 8388608}]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v %v, want %s", got, err, want)
	}
}

func FuzzClean(f *testing.F) {
	f.Add(smaps)
	f.Add("0-z r-xp 0 0 0 /bin/x\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := clean(strings.NewReader(text), "/bin/x")
		for _, m := range all {
			if err == nil && m.end < m.start {
				t.Error(m)
			}
		}
	})
}

func TestDropText(t *testing.T) {
	before := fileBacked(t)
	if err := DropText(); err != nil {
		t.Fatal(err)
	}
	// It goes on, and with less.
	if after := fileBacked(t); after >= before {
		t.Errorf("%d KiB of files before, %d after", before, after)
	}
}

func fileBacked(t *testing.T) (kib int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if n, _ := fmt.Sscanf(line, "RssFile: %d kB", &kib); n == 1 {
			return kib
		}
	}
	t.Fatal("no RssFile")
	return 0
}
