// Package host reads facts of the machine that the engine runs on. Nothing is
// kept.
package host

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// userTick is the unit of /proc/stat, on every architecture.
const userTick = 10 * time.Millisecond

// FileIs is whether the first line of a file is text.
func FileIs(path, text string) bool { return FirstLine(path) == text }

// FirstLine is "" for a file that cannot be read.
func FirstLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// OpenFiles is how many descriptors this process has.
func OpenFiles() int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(d)
}

// Name is the host name.
func Name() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// Machine is what uname -m says.
func Machine() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return runtime.GOARCH
}

// Memory is all there is, in bytes; 0 if it is not known.
func Memory() int64 {
	f := strings.Fields(FirstLine("/proc/meminfo"))
	if len(f) < 2 {
		return 0
	}
	kib, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

// Release is the name of the distribution and its version.
func Release() (name, version string) {
	name = "Linux"
	f, err := os.Open("/etc/os-release")
	if err != nil {
		return name, ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		k, v, _ := strings.Cut(s.Text(), "=")
		v = strings.Trim(v, `"'`)
		switch k {
		case "PRETTY_NAME":
			name = v
		case "VERSION_ID":
			version = v
		}
	}
	return name, version
}

// CPU is the time of all processors since the boot, in ns.
func CPU() (uint64, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(bytes.NewReader(text)).ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("read /proc/stat: %w", err)
	}
	fields := strings.Fields(line)
	var ticks uint64
	for i := 1; i < len(fields) && i <= 7; i++ { // guests count as users already
		n, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/stat: %w", err)
		}
		ticks += n
	}
	return ticks * uint64(userTick), nil
}

// DiskUsage is the space that the files below dir take on the disk, each inode
// once, as du shows it.
func DiskUsage(dir string) int64 {
	var sum int64
	seen := map[uint64]bool{}
	// What vanishes while it is counted does not count.
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // see above
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // see above
		}
		s, ok := info.Sys().(*syscall.Stat_t)
		if !ok || s.Nlink > 1 && !d.IsDir() && seen[s.Ino] {
			return nil
		}
		seen[s.Ino] = true
		sum += s.Blocks * 512
		return nil
	})
	return sum
}
