package bootstrap

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/internal/runtime/wire"
)

// maxDoors is more than there are hierarchies.
const maxDoors = 32

// doors are the files by which the cgroups are entered.
type doors struct {
	files []int
	came  bool
}

// take waits for them. They come before every answer of the runtime.
func (d *doors) take(conn control) error {
	if d.came {
		return nil
	}
	d.came = true
	in := passing{control: conn}
	count, err := expect(&in, wire.Doors)
	if err != nil {
		return err
	}
	if d.files = in.files; len(count) != 1 || len(d.files) != int(count[0]) {
		return fmt.Errorf("join the cgroup: %d files came, not %d", len(d.files), count)
	}
	return nil
}

// enter enters the cgroups. Only this thread does; execve ends the others.
func (d *doors) enter(conn control) error {
	if err := d.take(conn); err != nil {
		return err
	}
	for _, door := range d.files {
		if _, err := unix.Write(door, []byte("0")); err != nil {
			// Which of them it is, the file's path says.
			name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", door))
			return fmt.Errorf("join the cgroup by %s: %w", name, err)
		}
		if err := unix.Close(door); err != nil {
			return fmt.Errorf("join the cgroup: %w", err)
		}
	}
	return nil
}

// passing reads and keeps the descriptors that come beside the bytes.
type passing struct {
	control
	files []int
}

func (r *passing) Read(p []byte) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4*maxDoors))
	n, oobn, _, _, err := unix.Recvmsg(int(r.control), p, oob, unix.MSG_CMSG_CLOEXEC)
	for err == unix.EINTR {
		n, oobn, _, _, err = unix.Recvmsg(int(r.control), p, oob, unix.MSG_CMSG_CLOEXEC)
	}
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	case oobn == 0:
		return n, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	for i := range messages {
		files, e := unix.ParseUnixRights(&messages[i])
		r.files, err = append(r.files, files...), errors.Join(err, e)
	}
	return n, err
}
