package mount

import "testing"

const spreadTable = `22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
31 22 8:2 / /home rw,relatime shared:3 - ext4 /dev/sda2 rw
32 31 8:3 / /home/a\040b rw,relatime master:4 - ext4 /dev/sda3 rw
33 31 8:4 / /home/both rw,relatime shared:7 master:4 - ext4 /dev/sda3 rw
34 33 8:5 / /home/both rw,relatime - ext4 /dev/sda3 rw
broken
`

func TestSpread(t *testing.T) {
	for path, want := range map[string]Spread{
		"/etc": {Point: "/"}, "/home": {Point: "/home", Shared: true}, "/home/x/y": {Point: "/home", Shared: true}, "/homework": {Point: "/"},
		"/home/a b/c": {Point: "/home/a b", Slave: true}, "/home/both": {Point: "/home/both"}, "/": {Point: "/"},
	} {
		if got := spreadOf(path, spreadTable); got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
	if s, err := SpreadOf("/proc/self/status"); err != nil || s.Point != "/proc" {
		t.Error(s, err)
	}
	if _, err := SpreadOf("/nothing/here"); err == nil {
		t.Error("no error")
	}
}

func FuzzSpread(f *testing.F) {
	f.Add("/home/x", spreadTable)
	f.Add("/", "22 1 8:1 / / rw - x")
	f.Fuzz(func(t *testing.T, path, table string) { spreadOf(path, table) })
}
