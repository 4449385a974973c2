// Package resident gives memory back that a program needed for its start only.
package resident

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// DropText unmaps the pages of the program's own code and constants; those that it
// goes on using come back from the page cache one by one. What was written to, by a
// debugger for example, stays.
func DropText() error {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("find the own program: %w", err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("read the own mappings: %w", err)
	}
	defer f.Close()
	mappings, err := clean(f, exe)
	for _, m := range mappings {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED); errno != 0 {
			err = errors.Join(err, fmt.Errorf("drop pages of the program: %w", errno))
		}
	}
	return err
}

type mapping struct{ start, end uintptr }

// clean finds the mappings of path in a smaps that cannot be written to and never
// were.
func clean(smaps io.Reader, path string) ([]mapping, error) {
	var all []mapping
	var now *mapping
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 3 {
			continue
		}
		if strings.HasSuffix(f[0], ":") {
			// Dirty pages may be a file's that was just written; its own copies are anonymous.
			if now != nil && f[0] == "Anonymous:" && f[1] != "0" {
				all, now = all[:len(all)-1], nil
			}
			continue
		}
		now = nil
		if len(f) < 6 || f[5] != path || (f[1] != "r-xp" && f[1] != "r--p") {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		start, err := strconv.ParseUint(from, 16, 64)
		if err != nil {
			return nil, fmt.Errorf("read the own mappings: %w", err)
		}
		end, err := strconv.ParseUint(to, 16, 64)
		if err != nil || end < start {
			return nil, fmt.Errorf("read the own mappings: %q", lines.Text())
		}
		all = append(all, mapping{uintptr(start), uintptr(end)})
		now = &all[len(all)-1]
	}
	return all, lines.Err()
}
