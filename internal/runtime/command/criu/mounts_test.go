package criu

import (
	"maps"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const table = `40 31 0:20 /image / rw,relatime - tmpfs tmpfs rw
41 40 0:27 / /a\040place ro,nosuid,relatime shared:3 - ext4 /dev/vda rw
42 40 0:27 / /b ro,nodev,noexec,nosymfollow - ext4 /dev/vda rw
43 40 0:27 / /b rw,nodev - ext4 /dev/vda rw
`

func TestLostAttributes(t *testing.T) {
	for _, tc := range []struct {
		name, now, err string
		want           map[string]uint64
	}{
		{"none", table, "", nil},
		{"more than before", strings.ReplaceAll(table, "rw,", "ro,"), "", nil},
		{"read-only", strings.ReplaceAll(table, "ro,", "rw,"), "", map[string]uint64{"/a place": unix.MOUNT_ATTR_RDONLY}},
		{"of the last mount at a place", strings.ReplaceAll(table, "rw,nodev", "rw"), "", map[string]uint64{"/b": unix.MOUNT_ATTR_NODEV}},
		{"all", strings.ReplaceAll(table, "ro,nosuid", "rw"), "", map[string]uint64{"/a place": unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}},
		{"a mount", strings.ReplaceAll(table, "/b", "/c"), "has not restored the mount at /b", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := lostAttributes(table, tc.now)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("%v, want %s", err, tc.err)
				}
				return
			}
			if err != nil || !maps.Equal(got, tc.want) {
				t.Errorf("%v, %v, want %v", got, err, tc.want)
			}
		})
	}
}

// Whatever the file beside the images holds: attributes are only ever added.
func FuzzLostAttributes(f *testing.F) {
	f.Add(table, table)
	f.Add("1 2 3 4 \\", "")
	f.Add("", "\\04")
	f.Fuzz(func(t *testing.T, before, now string) {
		lost, err := lostAttributes(before, now)
		has := parseMounts(now)
		for path, attr := range lost {
			if err == nil && attr&has[path] != 0 {
				t.Errorf("%s has %x already", path, attr&has[path])
			}
		}
	})
}

func TestLastErrors(t *testing.T) {
	got := lastErrors([]byte("(1) Error (a): one\n(2) Error (b): two\nfine\n(3) Error (c): three\n(4) Error (d): FAILED\n"))
	if want := "(2) Error (b): two; (3) Error (c): three; (4) Error (d): FAILED"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestMountOfADescriptor(t *testing.T) {
	if id, err := mountOf([]byte("pos:\t0\nflags:\t02\nmnt_id:\t29\n")); err != nil || id != 29 {
		t.Errorf("%d, %v", id, err)
	}
	if _, err := mountOf([]byte("pos:\t0\n")); err == nil {
		t.Error("a descriptor without a mount has one")
	}
}
