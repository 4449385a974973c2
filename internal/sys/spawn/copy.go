package spawn

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From here on nothing may allocate, lock, grow the stack or be preempted.

// split makes the copy; it returns in the caller only.
//
//go:norace
//go:nosplit
//go:noinline
func (j *job) split() (uintptr, syscall.Errno) {
	pid, _, e := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 || pid != 0 {
		return pid, e
	}
	j.middle()
	return 0, 0
}

//go:norace
//go:nosplit
//go:noinline
func (j *job) middle() {
	if i, e := j.join(); e != 0 {
		j.fail(joining, i, e)
	}
	for i := 0; i < len(j.files); i++ {
		if fd := j.files[i]; int32(fd) < 0 {
			_, _, _ = syscall.RawSyscall6(unix.SYS_CLOSE, uintptr(i), 0, 0, 0, 0, 0)
		} else if _, _, e := syscall.RawSyscall6(unix.SYS_DUP3, fd, uintptr(i), 0, 0, 0, 0); e != 0 {
			j.fail(opening, i, e)
		}
	}
	var pid uintptr
	var e syscall.Errno
	if j.plain {
		pid, _, e = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(j.clone.flags), 0, 0, 0, 0, 0)
	} else {
		pid, _, e = syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&j.clone)), unsafe.Sizeof(j.clone), 0, 0, 0, 0)
	}
	if e != 0 {
		j.fail(cloning, 0, e)
	}
	if pid == 0 {
		j.program()
	}
	j.tell(started, 0, pid)
	j.exit()
}

// join joins first by the privileges of the caller, then by those that it has in the user
// namespace: each may be what another namespace takes.
//
//go:norace
//go:nosplit
//go:noinline
func (j *job) join() (int, syscall.Errno) {
	for inUser := 0; inUser < 2; inUser++ {
		for i := 0; i < len(j.joins); i++ {
			n := &j.joins[i]
			if n.done || inUser == 0 && n.flags&unix.CLONE_NEWUSER != 0 {
				continue
			}
			_, _, e := syscall.RawSyscall6(unix.SYS_SETNS, n.fd, n.flags, 0, 0, 0, 0)
			if e == unix.EPERM && inUser == 0 {
				continue
			}
			if e != 0 {
				return i, e
			}
			n.done = true
		}
	}
	return 0, 0
}

//go:norace
//go:nosplit
//go:noinline
func (j *job) program() {
	if j.become {
		j.user()
	}
	j.capabilities()
	for sig := uintptr(1); sig <= 64; sig++ {
		// Those that cannot be changed need not be.
		_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&j.action)), 0, 8, 0, 0)
	}
	_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&j.mask)), 0, 8, 0, 0)
	_, _, e := syscall.RawSyscall6(unix.SYS_EXECVEAT, j.binary, uintptr(unsafe.Pointer(j.empty)),
		uintptr(unsafe.Pointer(j.argv)), uintptr(unsafe.Pointer(j.envv)), unix.AT_EMPTY_PATH, 0)
	j.fail(executing, 0, e)
}

// user leaves the host's user, which nobody in the namespace must get hold of.
//
//go:norace
//go:nosplit
//go:noinline
func (j *job) user() {
	_, _, e := syscall.RawSyscall6(unix.SYS_SETGROUPS, 0, 0, 0, 0, 0, 0)
	if e != 0 && e != unix.EPERM { // denied for the namespace: then nobody gains by them
		j.fail(becoming, 0, e)
	}
	_, _, _ = syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0, 0, 0, 0)
	if _, _, e := syscall.RawSyscall6(unix.SYS_SETRESGID, j.ids[1], j.ids[1], j.ids[1], 0, 0, 0); e != 0 {
		j.fail(becoming, 0, e)
	}
	if _, _, e := syscall.RawSyscall6(unix.SYS_SETRESUID, j.ids[0], j.ids[0], j.ids[0], 0, 0, 0); e != 0 {
		j.fail(becoming, 0, e)
	}
}

// capabilities keeps what the process has over execve, whoever it is.
//
//go:norace
//go:nosplit
//go:noinline
func (j *job) capabilities() {
	_, _, e := syscall.RawSyscall6(unix.SYS_CAPGET, uintptr(unsafe.Pointer(&j.capHead)), uintptr(unsafe.Pointer(&j.capData)), 0, 0, 0, 0)
	if e == 0 {
		for i := 0; i < len(j.capData); i++ {
			j.capData[i].Effective = j.capData[i].Permitted
			j.capData[i].Inheritable = j.capData[i].Permitted
		}
		_, _, e = syscall.RawSyscall6(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&j.capHead)), uintptr(unsafe.Pointer(&j.capData)), 0, 0, 0, 0)
	}
	if e != 0 {
		j.fail(raising, 0, e)
	}
	for c := 0; c < 64; c++ {
		if j.capData[c/32].Permitted&(1<<(c%32)) == 0 {
			continue
		}
		if _, _, e := syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0, 0); e != 0 {
			j.fail(raising, c, e)
		}
	}
}

//go:norace
//go:nosplit
//go:noinline
func (j *job) tell(at stage, index int, value uintptr) {
	j.record.stage, j.record.index, j.record.value = at, uint32(index), uint32(value)
	_, _, _ = syscall.RawSyscall6(unix.SYS_WRITE, j.pipe, uintptr(unsafe.Pointer(&j.record)), unsafe.Sizeof(j.record), 0, 0, 0)
}

//go:norace
//go:nosplit
//go:noinline
func (j *job) fail(at stage, index int, e syscall.Errno) {
	j.tell(at, index, uintptr(e))
	j.exit()
}

//go:norace
//go:nosplit
//go:noinline
func (j *job) exit() {
	for {
		_, _, _ = syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 1, 0, 0, 0, 0, 0)
	}
}
