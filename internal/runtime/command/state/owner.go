package state

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// owner is the name of the user whose directory it is, or the number.
func owner(dir string) string {
	var st syscall.Stat_t
	if syscall.Stat(dir, &st) != nil {
		return ""
	}
	if st.Uid == 0 {
		return "root"
	}
	id := strconv.Itoa(int(st.Uid))
	users, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return id
	}
	for line := range strings.Lines(string(users)) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == id {
			return f[0]
		}
	}
	return id
}
