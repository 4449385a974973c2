// Package conformance runs an OCI runtime's binary on bundles and looks, from
// inside the container and from outside, whether the specification is kept.
//
// The runtime is Berth's, or the command that OCI_RUNTIME holds: the tests are
// themselves tested on other runtimes. A test file has one subject; fields_test.go
// says which test covers which field of the configuration.
//
// A bundle belongs to one test. At its end every mount, process, link, cgroup
// and file of state that the runtime left is an error.
package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-containers/berth/test/harness"
)

// templates is the folder of what every root file system is made from.
var templates string

func TestMain(m *testing.M) {
	harness.Enter(func() int {
		code, err := prepared(m.Run)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	})
}

func prepared(run func() int) (int, error) {
	dir, err := os.MkdirTemp("", "berth-conformance-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	// Debian's crun refuses to run while a hybrid host's v2 has a controller. The
	// mount namespace is the lab's own.
	if strings.Contains(os.Getenv("OCI_RUNTIME"), "crun") {
		_ = unix.Unmount("/sys/fs/cgroup/unified", 0)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return 0, err
	}
	templates = dir
	if err := copyFile("/bin/busybox", filepath.Join(dir, "busybox")); err != nil {
		return 0, fmt.Errorf("busybox (package busybox-static): %w", err)
	}
	if err := probe(filepath.Join(dir, "probe")); err != nil {
		return 0, err
	}
	return run(), nil
}

// probe builds the program that looks around, or takes BERTH_PROBE where there is
// no compiler.
func probe(path string) error {
	if built := os.Getenv("BERTH_PROBE"); built != "" {
		return copyFile(built, path)
	}
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "./probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the probe: %w\n%s", err, out)
	}
	return nil
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}
