package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// try does one thing; see the cases. Numbers may be hexadecimal (0x) or octal (0).
func try(op string, args []string) (string, error) {
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	switch op {
	case "read": // PATH: its first 4 KiB
		return readFile(arg(0))
	case "write": // PATH, TEXT: to what exists
		return "", writeFile(arg(0), arg(1), os.O_WRONLY)
	case "create": // PATH
		return "", writeFile(arg(0), "", os.O_WRONLY|os.O_CREATE)
	case "mkdir": // PATH
		return "", os.Mkdir(arg(0), 0o755)
	case "rm": // PATH
		return "", os.Remove(arg(0))
	case "stat": // PATH: type and mode, uid, gid, major:minor
		return stat(arg(0))
	case "link": // PATH: where a symbolic link points
		return os.Readlink(arg(0))
	case "chown": // PATH, UID, GID
		return "", os.Lchown(arg(0), int(number(arg(1))), int(number(arg(2))))
	case "mknod": // PATH, c or b, MAJOR, MINOR
		mode := uint32(unix.S_IFCHR)
		if arg(1) == "b" {
			mode = unix.S_IFBLK
		}
		return "", unix.Mknod(arg(0), mode|0o666, int(unix.Mkdev(uint32(number(arg(2))), uint32(number(arg(3))))))
	case "mount": // SOURCE, PATH, TYPE, FLAGS
		return "", unix.Mount(arg(0), arg(1), arg(2), uintptr(number(arg(3))), "")
	case "unmount": // PATH
		return "", unix.Unmount(arg(0), unix.MNT_DETACH)
	case "kill": // PID, SIGNAL
		return "", syscall.Kill(int(number(arg(0))), syscall.Signal(number(arg(1))))
	case "syscall": // NUMBER, up to six arguments: what it returns
		return call(args)
	case "type": // PATH or a descriptor's number, TEXT: as if it were typed at the terminal
		return "", typeInto(arg(0), arg(1))
	case "exec": // PATH, ARGS...: in place of the probe
		return "", unix.Exec(arg(0), args, os.Environ())
	}
	return "", fmt.Errorf("unknown operation %q", op)
}

func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	const most = 4 << 10
	b := make([]byte, most)
	n, err := f.Read(b)
	if err != nil && err != io.EOF {
		return "", err
	}
	return fmt.Sprintf("%q", b[:n]), nil
}

func writeFile(path, text string, flags int) error {
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

func stat(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", err
	}
	kind := map[uint32]string{unix.S_IFREG: "file", unix.S_IFDIR: "dir", unix.S_IFLNK: "link", unix.S_IFCHR: "char",
		unix.S_IFBLK: "block", unix.S_IFIFO: "fifo", unix.S_IFSOCK: "socket"}[st.Mode&unix.S_IFMT]
	return fmt.Sprintf("%s %04o %d:%d %d:%d", kind, st.Mode&^unix.S_IFMT, st.Uid, st.Gid, unix.Major(st.Rdev), unix.Minor(st.Rdev)), nil
}

func call(args []string) (string, error) {
	var a [7]uintptr
	for i := range min(len(args), len(a)) {
		a[i] = uintptr(number(args[i]))
	}
	r, _, errno := unix.RawSyscall6(a[0], a[1], a[2], a[3], a[4], a[5], a[6])
	if errno != 0 {
		return "", errno
	}
	return strconv.Itoa(int(r)), nil
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		u, _ := strconv.ParseUint(s, 0, 64)
		return int64(u)
	}
	return n
}

func typeInto(terminal, text string) error {
	fd, err := strconv.Atoi(terminal)
	if err != nil {
		if fd, err = unix.Open(terminal, unix.O_RDWR|unix.O_NOCTTY, 0); err != nil {
			return err
		}
		defer unix.Close(fd)
	}
	for _, c := range []byte(text) {
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSTI, uintptr(unsafe.Pointer(&c))); e != 0 {
			return e
		}
	}
	return nil
}
