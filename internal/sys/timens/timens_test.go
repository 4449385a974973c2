package timens

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestByExec(t *testing.T) {
	for release, want := range map[string]bool{
		"5.10.0-30-amd64": false, "6.1.0-56-cloud-amd64": false, "6.2.0": true, "6.18.3": true, "7.0-rc1": true, "unheard of": true,
	} {
		if got := byExec(release); got != want {
			t.Errorf("%s: %v", release, got)
		}
	}
}

func TestNew(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	ns, err := New("monotonic 100 5\nboottime 7 0\n")
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	var made, own unix.Stat_t
	if err := errors.Join(unix.Fstat(int(ns.Fd()), &made), unix.Stat("/proc/self/ns/time", &own)); err != nil {
		t.Fatal(err)
	}
	if made.Ino == own.Ino {
		t.Error("the namespace is the caller's own")
	}
	if b, err := os.ReadFile("/proc/self/timens_offsets"); err != nil || strings.Contains(string(b), "100") {
		t.Errorf("the caller's own offsets are %q, %v", b, err)
	}
	if _, err := New("boottime -99999999999 0\n"); !errors.Is(err, unix.ERANGE) {
		t.Errorf("a clock before 0: %v", err)
	}
}
