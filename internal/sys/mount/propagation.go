package mount

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Spread is how the mount that a path lies on propagates.
type Spread struct {
	Point         string // where it is mounted
	Shared, Slave bool
}

// SpreadOf looks the mount of a path up; links on the way are followed.
func SpreadOf(path string) (Spread, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Spread{}, fmt.Errorf("find the mount of %s: %w", path, err)
	}
	table, err := mountTable()
	if err != nil {
		return Spread{}, fmt.Errorf("find the mount of %s: %w", path, err)
	}
	return spreadOf(real, table), nil
}

func mountTable() (string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	return string(b), err
}

// spreadOf takes the last of those that cover the path most closely: it lies on top.
func spreadOf(path, table string) (s Spread) {
	for line := range strings.Lines(table) {
		at := parsePoint(line).path
		if at == "" || len(at) < len(s.Point) || at != "/" && path != at && !strings.HasPrefix(path, at+"/") {
			continue
		}
		s = Spread{Point: at}
		head, _, _ := strings.Cut(line, " - ")
		fields := strings.Fields(head)
		for _, tag := range fields[min(6, len(fields)):] {
			s.Shared = s.Shared || strings.HasPrefix(tag, "shared:")
			s.Slave = s.Slave || strings.HasPrefix(tag, "master:")
		}
	}
	return s
}
