// Package kernfs reads and writes the files of cgroups: one value or a few
// words a line, parsed by the kernel in one write(2). It never creates a file: a
// missing one means that the kernel lacks the controller. Nothing of it outlives
// a call.
package kernfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Write stores value in one write(2).
func Write(file, value string) error {
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_TRUNC, 0)
	if err == nil {
		defer unix.Close(fd)
		_, err = unix.Write(fd, []byte(value))
	}
	if err != nil {
		return &fs.PathError{Op: fmt.Sprintf("write %q to", value), Path: file, Err: err}
	}
	return nil
}

// Read returns the file without the white space around it.
func Read(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read cgroup: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// Words splits a file at white space.
func Words(file string) ([]string, error) {
	s, err := Read(file)
	return strings.Fields(s), err
}

// Number reads a file that holds one number; "max" is the biggest there is.
func Number(file string) (uint64, error) {
	s, err := Read(file)
	if err != nil {
		return 0, err
	}
	return Parse(s)
}

// Parse reads a number or "max". A negative one, which old counters show for a
// moment, is 0.
func Parse(s string) (uint64, error) {
	switch {
	case s == "max" || s == "-1":
		return ^uint64(0), nil
	case strings.HasPrefix(s, "-"):
		return 0, nil
	}
	return strconv.ParseUint(s, 10, 64)
}

// Table reads lines "key number".
func Table(file string) (map[string]uint64, error) {
	s, err := Read(file)
	if err != nil {
		return nil, err
	}
	return ParseTable(s), nil
}

// ParseTable reads lines "key number" and skips others.
func ParseTable(s string) map[string]uint64 {
	t := map[string]uint64{}
	for line := range strings.Lines(s) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := Parse(value); ok && err == nil {
			t[key] = n
		}
	}
	return t
}

// Gone is whether the group was removed before or while its file was used.
func Gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) }
