// Package resident gives memory back that only a start needed.
package resident

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Trim frees the heap that is not in use and unmaps the pages of the program's
// own file, of which a start touches far more than what runs afterwards. The
// page cache keeps them: what is needed again comes back by minor faults.
func Trim() error {
	debug.FreeOSMemory()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("trim memory: %w", err)
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("trim memory: %w", err)
	}
	defer maps.Close()
	spans, err := parse(maps, exe)
	if err != nil {
		return fmt.Errorf("trim memory: %w", err)
	}
	for _, s := range spans {
		if _, _, e := unix.Syscall(unix.SYS_MADVISE, s.begin, s.end-s.begin, unix.MADV_DONTNEED); e != 0 {
			return fmt.Errorf("trim memory: %w", e)
		}
	}
	return nil
}

type span struct{ begin, end uintptr }

// parse returns the mappings of the file that cannot be written, which hold
// nothing that the file does not.
func parse(r io.Reader, file string) (spans []span, err error) {
	for s := bufio.NewScanner(r); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 6 || strings.Join(f[5:], " ") != file {
			continue
		}
		var v span
		if _, err := fmt.Sscanf(f[0], "%x-%x", &v.begin, &v.end); err != nil || len(f[1]) != 4 || v.end < v.begin {
			return nil, errors.New("read maps: " + s.Text())
		}
		if f[1][1] != 'w' {
			spans = append(spans, v)
		}
	}
	return spans, nil
}
