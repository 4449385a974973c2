package runtime

import (
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
)

// ipcSysctls and utsSysctls are those that each namespace has its own of; with
// those below net and fs.mqueue they are all that a container can have.
var (
	ipcSysctls = []string{"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax", "kernel/shmmni",
		"kernel/shm_rmid_forced", "kernel/msg_next_id", "kernel/sem_next_id", "kernel/shm_next_id", "kernel/auto_msgmni"}
	utsSysctls = []string{"kernel/hostname", "kernel/domainname"}
)

// validateSysctls refuses what would change the host.
func validateSysctls(list map[string]string, p plan) error {
	for _, key := range slices.Sorted(maps.Keys(list)) {
		name := sysctlPath(key)
		var flag int
		var words string
		switch {
		case slices.Contains(strings.Split(name, "/"), ".."):
		case strings.HasPrefix(name, "net/"):
			flag, words = unix.CLONE_NEWNET, "network"
		case strings.HasPrefix(name, "fs/mqueue/"), slices.Contains(ipcSysctls, name):
			flag, words = unix.CLONE_NEWIPC, "IPC"
		case slices.Contains(utsSysctls, name):
			flag, words = unix.CLONE_NEWUTS, "UTS"
		}
		if flag == 0 {
			return invalid("sysctl %q is not in a separate kernel namespace and would change the host: take it out of linux.sysctl, and set it on the host if need be", key)
		}
		if p.all&flag == 0 {
			return invalid("sysctl %q is not allowed in the host's %s namespace", key, words)
		}
	}
	return nil
}

// sysctlPath is the file below /proc/sys. In net.ipv4.conf.eth0/1.x a slash
// stands for a dot in a name; a key that has a slash first is a path already.
func sysctlPath(key string) string {
	slash, dot := strings.Index(key, "/"), strings.Index(key, ".")
	if slash >= 0 && (dot < 0 || slash < dot) {
		return key
	}
	return strings.NewReplacer(".", "/", "/", ".").Replace(key)
}

func sysctls(m map[string]string) []wire.Sysctl {
	var list []wire.Sysctl
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, wire.Sysctl{Name: name, File: "/proc/sys/" + sysctlPath(name), Value: m[name]})
	}
	return list
}
