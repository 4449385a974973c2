package mount

import "testing"

func TestParsePoint(t *testing.T) {
	for line, want := range map[string]point{
		"22 27 0:21 / /proc rw,relatime - proc proc rw\n":                               {"22", "27", "/proc", "proc"},
		`31 1 8:1 /a /mnt/with\040blank\134 rw shared:1 master:2 - ext4 /dev/sda1 rw,x`: {"31", "1", `/mnt/with blank\`, "ext4"},
		"31 1 8:1 / /x rw - tmpfs":                                                      {"31", "1", "/x", "tmpfs"},
		"":                                                                              {}, "1 2 3 - proc": {}, "broken": {},
	} {
		if got := parsePoint(line); got != want {
			t.Errorf("%q: got %+v, want %+v", line, got, want)
		}
	}
}

func FuzzParsePoint(f *testing.F) {
	f.Add("22 27 0:21 / /proc rw,relatime - proc proc rw\n")
	f.Add(" - ")
	f.Fuzz(func(t *testing.T, line string) {
		if p := parsePoint(line); p.fstype != "" && p.path == "" {
			t.Fatalf("%+v", p)
		}
	})
}
