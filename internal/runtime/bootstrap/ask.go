package bootstrap

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
)

// ask gets a mount from the runtime that takes the host's privileges to make.
func (s *starter) ask(n int) (int, error) {
	if err := s.doors.take(s.conn); err != nil {
		return -1, err
	}
	if err := wire.Write(s.conn, wire.Ask, wire.AskPayload(n)); err != nil {
		return -1, fmt.Errorf("ask the runtime for a mount: %w", err)
	}
	var header [wire.HeaderSize]byte
	oob := make([]byte, unix.CmsgSpace(4))
	got, oobn, _, _, err := unix.Recvmsg(int(s.conn), header[:], oob, unix.MSG_CMSG_CLOEXEC)
	for err == unix.EINTR {
		got, oobn, _, _, err = unix.Recvmsg(int(s.conn), header[:], oob, unix.MSG_CMSG_CLOEXEC)
	}
	if err == nil {
		_, err = io.ReadFull(s.conn, header[got:])
	}
	if err != nil {
		return -1, fmt.Errorf("listen to the runtime: %w", err)
	}
	kind, size, err := wire.ParseHeader(header[:])
	if err != nil {
		return -1, err
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(s.conn, payload); err != nil {
		return -1, fmt.Errorf("listen to the runtime: %w", err)
	}
	switch {
	case kind == wire.Failed:
		return -1, wire.ParseFailure(payload)
	case kind == wire.Given:
		return given(oob[:oobn])
	}
	return -1, fmt.Errorf("listen to the runtime: got %q in place of a mount", kind)
}

func given(oob []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) == 0 {
		return -1, errors.Join(errors.New("the runtime gave no mount"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return -1, errors.Join(errors.New("the runtime gave no mount"), err)
	}
	return fds[0], nil
}
