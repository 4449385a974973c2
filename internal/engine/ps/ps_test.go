package ps

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func TestList(t *testing.T) {
	for args, titles := range map[string]string{
		"":               "UID PID PPID C STIME TTY TIME CMD",
		"-ef":            "UID PID PPID C STIME TTY TIME CMD",
		"aux":            "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND",
		"-o pid,comm":    "PID COMMAND",
		"-opid,args,rss": "PID COMMAND RSS",
		"o pid,user":     "PID USER",
	} {
		table, err := List([]int{os.Getpid(), 1 << 22}, args, time.Now())
		if err != nil || strings.Join(table.Titles, " ") != titles || len(table.Rows) != 1 || len(table.Rows[0]) != len(table.Titles) {
			t.Fatalf("%q: %+v, %v", args, table, err)
		}
		found := false
		for i, title := range table.Titles {
			found = found || title == "PID" && table.Rows[0][i] == strconv.Itoa(os.Getpid())
		}
		if !found {
			t.Fatalf("%q: %v", args, table.Rows)
		}
	}
	for _, args := range []string{"--forest", "-o comm", "-o pid,colour"} {
		if _, err := List(nil, args, time.Now()); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestParseStat(t *testing.T) {
	line := "42 (a) b) S 1 42 42 34817 42 4194560 1 0 0 0 150 50 0 0 20 5 3 0 1000 10485760 256 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0"
	p, err := ParseStat([]byte(line), time.Unix(1000, 0))
	if err != nil || p.Pid != 42 || p.Comm != "a) b" || p.State != "S" || p.PPid != 1 || p.CPU != 2*time.Second || p.Nice != 5 ||
		p.Threads != 3 || !p.Start.Equal(time.Unix(1010, 0)) || p.VSZ != 10240 || ttyName(p.TTY) != "pts/1" {
		t.Fatalf("%+v %v", p, err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("1 (x) S 1"))
	f.Add([]byte(")("))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = ParseStat(b, time.Time{}) })
}

func TestPidsWithoutCgroup(t *testing.T) {
	if got := Pids("", 7); len(got) != 1 || got[0] != 7 {
		t.Fatal(got)
	}
	if got := Pids("/no/such/cgroup", 7); len(got) != 1 || got[0] != 7 {
		t.Fatal(got)
	}
}
