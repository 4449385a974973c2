package runtime

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
	"github.com/berth-containers/berth/internal/sys/netns"
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

// hostsSysctls sets those of a network that a container with a user namespace of
// its own joins: they belong to the host's root, or to another's. The rest is the
// init's.
func hostsSysctls(list []wire.Sysctl, p plan) ([]wire.Sysctl, error) {
	i := slices.IndexFunc(p.joins, func(j wire.Join) bool { return j.Flag == unix.CLONE_NEWNET })
	if p.clone&unix.CLONE_NEWUSER == 0 || i < 0 {
		return list, nil
	}
	var own []wire.Sysctl
	var theirs []wire.Sysctl
	for _, s := range list {
		if strings.HasPrefix(s.File, "/proc/sys/net/") {
			theirs = append(theirs, s)
		} else {
			own = append(own, s)
		}
	}
	if len(theirs) == 0 {
		return own, nil
	}
	ns, err := os.Open(p.joins[i].Path)
	if err != nil {
		return nil, fmt.Errorf("open the network namespace: %w", err)
	}
	defer ns.Close()
	return own, netns.Do(ns, func() error {
		for _, s := range theirs {
			if err := os.WriteFile(s.File, []byte(s.Value), 0); err != nil {
				return fmt.Errorf("set sysctl %s=%s: %w", s.Name, s.Value, err)
			}
		}
		return nil
	})
}
