package publish

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-containers/berth/internal/container"
)

// programOn names the program whose socket has the port, as "nginx, pid 12";
// "" if it cannot be told.
func programOn(port container.Port) string {
	for _, table := range []string{port.Proto, port.Proto + "6"} {
		f, err := os.Open("/proc/thread-self/net/" + table)
		if err != nil {
			continue
		}
		inodes := socketsOn(f, port)
		f.Close()
		for _, inode := range inodes {
			if name := holder(inode); name != "" {
				return name
			}
		}
	}
	return ""
}

// socketsOn reads a table in the format of /proc/net/tcp and returns the inodes
// of the sockets bound to the port.
func socketsOn(table io.Reader, port container.Port) []string {
	var inodes []string
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[9] == "0" {
			continue
		}
		local, ok := localAddress(f[1])
		if !ok || local.Port() != port.HostPort {
			continue
		}
		bound := port.Proto == "udp" || f[3] == "0A" // listening
		same := local.Addr() == port.HostIP || local.Addr().IsUnspecified() || port.HostIP.IsUnspecified()
		if bound && same {
			inodes = append(inodes, f[9])
		}
	}
	return inodes
}

// localAddress parses "0100007F:1F90": the address in words of the machine's
// byte order (little endian on what we build for), the port as a number.
func localAddress(s string) (netip.AddrPort, bool) {
	host, portHex, ok := strings.Cut(s, ":")
	if !ok {
		return netip.AddrPort{}, false
	}
	port, err := strconv.ParseUint(portHex, 16, 16)
	raw, err2 := hex.DecodeString(host)
	if err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), ok
}

// holder looks for the process that has the socket open.
func holder(inode string) string {
	want := "socket:[" + inode + "]"
	pids, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return ""
	}
	for _, dir := range pids {
		fds, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue // ended meanwhile
		}
		for _, fd := range fds {
			if target, err := os.Readlink(dir + "/fd/" + fd.Name()); err != nil || target != want {
				continue
			}
			comm, err := os.ReadFile(dir + "/comm")
			if err != nil {
				return ""
			}
			return fmt.Sprintf("%s, pid %s", strings.TrimSpace(string(comm)), filepath.Base(dir))
		}
	}
	return ""
}
