package runtime

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestValidateSysctls(t *testing.T) {
	all := plan{all: unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS}
	for _, tt := range []struct {
		key  string
		plan plan
		ok   bool
	}{
		{"net.ipv4.ip_forward", all, true},
		{"net/ipv4/conf/eth0.1/forwarding", all, true},
		{"net.ipv4.conf.eth0/1.forwarding", all, true},
		{"kernel.shmmni", all, true},
		{"kernel.shm_rmid_forced", all, true},
		{"fs.mqueue.msg_max", all, true},
		{"kernel.domainname", all, true},
		{"net.ipv4.ip_forward", plan{all: unix.CLONE_NEWIPC}, false},
		{"kernel.sem", plan{all: unix.CLONE_NEWNET}, false},
		{"kernel.hostname", plan{}, false},
		{"kernel.panic", all, false},
		{"kernel.shmfuture", all, false},
		{"vm.swappiness", all, false},
		{"net", all, false},
		{"", all, false},
		{"net/../kernel/panic", all, false},
		{"net.ipv4.//.kernel.panic", all, false},
		{"../../etc/passwd", all, false},
	} {
		err := validateSysctls(map[string]string{tt.key: "1"}, tt.plan)
		if (err == nil) != tt.ok || err != nil && !strings.Contains(err.Error(), tt.key) {
			t.Errorf("%q: %v", tt.key, err)
		}
	}
}
