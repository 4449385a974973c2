package netdev

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// address is a message of the kernel's about 10.0.0.1/24 on device 3.
func address(scope byte, flags uint32) syscall.NetlinkMessage {
	body := []byte{unix.AF_INET, 24, 0, scope, 3, 0, 0, 0}
	body = attribute(body, unix.IFA_LOCAL, []byte{10, 0, 0, 1})
	body = attribute(body, unix.IFA_FLAGS, []byte{byte(flags), 0, 0, 0})
	body = attribute(body, unix.IFA_LABEL, []byte("a\x00"))
	return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_NEWADDR, Len: uint32(unix.SizeofNlMsghdr + len(body))}, Data: body}
}

func TestKeep(t *testing.T) {
	for _, tc := range []struct {
		message syscall.NetlinkMessage
		index   int
		kept    bool
	}{
		{address(unix.RT_SCOPE_UNIVERSE, unix.IFA_F_PERMANENT), 3, true},
		{address(unix.RT_SCOPE_UNIVERSE, unix.IFA_F_PERMANENT), 4, false},
		{address(unix.RT_SCOPE_LINK, unix.IFA_F_PERMANENT), 3, false},
		{address(unix.RT_SCOPE_UNIVERSE, 0), 3, false},
	} {
		if got := keep(tc.message, tc.index); (got != nil) != tc.kept || tc.kept && len(got) != 16 {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

func FuzzKeep(f *testing.F) {
	f.Add(address(0, unix.IFA_F_PERMANENT).Data)
	f.Add([]byte{2, 24, 0, 0, 3, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		keep(syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_NEWADDR, Len: uint32(unix.SizeofNlMsghdr + len(body))}, Data: body}, 3)
	})
}
