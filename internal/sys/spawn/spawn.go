// Package spawn starts a program in namespaces that a process with threads, as
// every Go process is, cannot join: a user or a time namespace. A copy of the
// calling process with one thread, the *middle*, joins them and clones the program as
// its caller's child, so that pid and time namespaces hold for it too.
//
// The two are Go code that makes system calls and nothing else: other threads'
// locks, held for ever in the copy, are never taken. Neither has more than
// the descriptors it was given, and both end with an error; a crash of the caller
// leaves at most the program.
package spawn

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Join is one call of setns.
type Join struct {
	FD    int // a namespace, or a pidfd
	Flags int // CLONE_NEW*
	Name  string
}

// Program is what to start.
type Program struct {
	Binary int // the executable's descriptor
	Args   []string
	Env    []string
	// Files are the program's descriptors from 0 on; those above 1<<31 are closed.
	Files []uintptr
	// Joins are tried before the user namespace among them is joined, and what was
	// not permitted then once more afterwards.
	Joins []Join
	// Become, if set, is the user and group of the joined user namespace that
	// the program has before it is visible there. It has all capabilities.
	Become *[2]uint32
	Clone  int      // the new namespaces
	Cgroup *os.File // to be born in (v2); nil: the caller's
}

// base is above every number in Program.Files.
const base = 512

type stage uint32

const (
	started stage = iota
	joining
	opening
	cloning
	becoming
	raising
	executing
)

// record is what the two tell the caller: what they were doing, with which of
// several, and the error; or, with started, the program's process.
type record struct {
	stage stage
	index uint32
	value uint32
}

// job is all that the two use: made by the caller, so that nothing is allocated.
type job struct {
	joins   []join
	files   []uintptr
	pipe    uintptr
	binary  uintptr
	argv    **byte
	envv    **byte
	empty   *byte
	mask    uint64 // of signals, the program's
	clone   cloneArgs
	plain   bool // no clone3 needed
	become  bool
	ids     [2]uintptr
	action  sigaction
	capHead unix.CapUserHeader
	capData [2]unix.CapUserData
	record  record
}

type join struct {
	fd, flags uintptr
	done      bool
}

type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

// Start starts the program and returns its process, a child of the caller.
func Start(p Program) (pid int, err error) {
	if len(p.Files) > base {
		return 0, fmt.Errorf("start a process with %d descriptors: %w", len(p.Files), unix.EMFILE)
	}
	// The user namespace is the first that the second attempt joins.
	p.Joins = slices.SortedStableFunc(slices.Values(p.Joins), func(a, b Join) int {
		return b.Flags&unix.CLONE_NEWUSER - a.Flags&unix.CLONE_NEWUSER
	})
	var held held
	defer held.close()
	j, err := newJob(p, &held)
	if err != nil {
		return 0, err
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return 0, fmt.Errorf("make pipe: %w", err)
	}
	defer unix.Close(ends[0])
	pipe, err := held.above(uintptr(ends[1]))
	unix.Close(ends[1])
	if err != nil {
		return 0, err
	}
	j.pipe = pipe
	middle, err := j.fork()
	runtime.KeepAlive(p)
	if err != nil {
		return 0, err
	}
	held.close()
	pid, err = listen(ends[0], p.Joins)
	return pid, errors.Join(err, reap(middle, pid, err))
}

// held are descriptors above base.
type held []int

func (h *held) above(fd uintptr) (uintptr, error) {
	n, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, base)
	if err != nil {
		return 0, fmt.Errorf("copy descriptor %d: %w", fd, err)
	}
	*h = append(*h, n)
	return uintptr(n), nil
}

func (h *held) close() {
	for _, fd := range *h {
		unix.Close(fd)
	}
	*h = nil
}

func newJob(p Program, held *held) (*job, error) {
	j := &job{empty: new(byte), plain: p.Cgroup == nil}
	j.clone = cloneArgs{flags: uint64(p.Clone) | unix.CLONE_PARENT}
	j.capHead.Version = unix.LINUX_CAPABILITY_VERSION_3
	var err error
	copyOf := func(fd uintptr) uintptr {
		n := fd
		if err == nil && int32(fd) >= 0 {
			n, err = held.above(fd)
		}
		return n
	}
	j.binary = copyOf(uintptr(p.Binary))
	if p.Cgroup != nil {
		j.clone.flags |= unix.CLONE_INTO_CGROUP
		j.clone.cgroup = uint64(copyOf(p.Cgroup.Fd()))
	}
	for _, fd := range p.Files {
		j.files = append(j.files, copyOf(fd))
	}
	for _, n := range p.Joins {
		j.joins = append(j.joins, join{fd: copyOf(uintptr(n.FD)), flags: uintptr(n.Flags)})
	}
	if p.Become != nil {
		j.become, j.ids = true, [2]uintptr{uintptr(p.Become[0]), uintptr(p.Become[1])}
	}
	argv, argErr := syscall.SlicePtrFromStrings(p.Args)
	envv, envErr := syscall.SlicePtrFromStrings(p.Env)
	if err = errors.Join(err, argErr, envErr); err == nil {
		j.argv, j.envv = &argv[0], &envv[0]
	}
	return j, err
}

// fork starts the middle.
func (j *job) fork() (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// No descriptor that is about to become close-on-exec is copied.
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	all := ^uint64(0)
	// A handler of the Go runtime would wait for threads that the copy has not.
	_, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&j.mask)), 8, 0, 0)
	if e != 0 {
		return 0, fmt.Errorf("block signals: %w", e)
	}
	pid, e := j.split()
	_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&j.mask)), 0, 8, 0, 0)
	if e != 0 {
		return 0, fmt.Errorf("copy the process: %w", e)
	}
	return int(pid), nil
}

// listen hears what became of it, until both are gone or have become the program.
func listen(pipe int, joins []Join) (pid int, err error) {
	for {
		var r record
		n, readErr := unix.Read(pipe, unsafe.Slice((*byte)(unsafe.Pointer(&r)), unsafe.Sizeof(r)))
		switch {
		case readErr == unix.EINTR:
			continue
		case readErr != nil:
			return pid, errors.Join(err, fmt.Errorf("listen to the process: %w", readErr))
		case n == 0 && pid == 0 && err == nil:
			return 0, errors.New("join namespaces: the process was killed")
		case n == 0:
			return pid, err
		case r.stage == started:
			pid = int(r.value)
		default:
			err = explain(r, joins)
		}
	}
}

func explain(r record, joins []Join) error {
	e := unix.Errno(r.value)
	switch r.stage {
	case joining:
		name := "namespace"
		if i := int(r.index); i < len(joins) {
			name = joins[i].Name
		}
		return fmt.Errorf("join %s: %w", name, e)
	case opening:
		return fmt.Errorf("pass descriptor %d: %w", r.index, e)
	case cloning:
		return fmt.Errorf("make the new namespaces: %w", e)
	case becoming:
		return fmt.Errorf("become the user of the user namespace: %w", e)
	case raising:
		return fmt.Errorf("keep capability %d: %w", r.index, e)
	}
	return fmt.Errorf("execute: %w", e)
}

// reap takes the middle, and the program too if it did not come to be.
func reap(middle, pid int, failed error) error {
	gone := []int{middle}
	if failed != nil && pid != 0 {
		gone = append(gone, pid)
	}
	for _, pid := range gone {
		_, err := syscall.Wait4(pid, nil, 0, nil)
		for err == syscall.EINTR {
			_, err = syscall.Wait4(pid, nil, 0, nil)
		}
		if err != nil {
			return fmt.Errorf("wait for process %d: %w", pid, err)
		}
	}
	return nil
}
