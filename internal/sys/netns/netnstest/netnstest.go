// Package netnstest runs a package's tests in a network namespace that was made
// for them: every goroutine of the test binary is in it, and it ends with it.
package netnstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

const inside = "BERTH_TEST_NETNS"

// Main is TestMain: it runs the test binary again in the namespace, which ready, if
// there is one, prepares before the tests. It needs root.
func Main(m *testing.M, ready func() error) {
	if os.Getenv(inside) == "" {
		os.Exit(enter())
	}
	if ready != nil {
		if err := ready(); err != nil {
			fmt.Fprintln(os.Stderr, "prepare the network namespace:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func enter() (code int) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode()
	case err != nil:
		fmt.Fprintln(os.Stderr, "run the tests in a network namespace, which needs root:", err)
		return 1
	}
	return 0
}
