package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ways are how a process gets at another one, each with what the kernel checks as
// it checks ptrace. (/proc/PID/maps CAP_SYS_ADMIN may always read.)
var ways = map[string]func(pid int) error{
	"ptrace": func(pid int) error {
		// A thread lets go of what it traces by its end.
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			done <- unix.PtraceSeize(pid)
		}()
		return <-done
	},
	"mem":  func(pid int) error { return open(pid, "mem", unix.O_RDWR) },
	"exe":  func(pid int) error { return open(pid, "exe", unix.O_RDONLY) },
	"root": func(pid int) error { return open(pid, "root", unix.O_RDONLY) },
	"cwd":  func(pid int) error { return open(pid, "cwd", unix.O_RDONLY) },
	"fd": func(pid int) error {
		for fd := range 32 {
			if open(pid, "fd/"+strconv.Itoa(fd), unix.O_RDONLY) == nil {
				return nil
			}
		}
		return unix.EACCES
	},
	"pidfd_getfd": func(pid int) error {
		pidfd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return err
		}
		defer unix.Close(pidfd)
		for fd := range 32 {
			if got, err := unix.PidfdGetfd(pidfd, fd, 0); err == nil {
				unix.Close(got)
				return nil
			}
		}
		return unix.EPERM
	},
}

func open(pid int, name string, flags int) error {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/%s", pid, name), flags, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// reach tries every way at every process but those named program, until it is told
// to stop, and says what it sees and gets at, by name, once.
func reach(program string, stop chan os.Signal) {
	said := map[string]bool{}
	say := func(line string) {
		if !said[line] {
			said[line] = true
			fmt.Println(line)
		}
	}
	say("reaching")
	for len(stop) == 0 {
		for _, pid := range others() {
			name := comm(pid)
			say("seen " + name)
			for way, try := range ways {
				if name != program && try(pid) == nil && still(pid, name) {
					say("reached " + name + " by " + way)
				}
			}
		}
	}
}

// still is whether a process was what its name says. At an execve the memory
// changes before the name does.
func still(pid int, name string) bool {
	exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return name != "" && exe != "/bin/busybox" && comm(pid) == name
}

func others() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

func comm(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(b))
}
