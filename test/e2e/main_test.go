// Package e2e drives the built binaries as a user does: through berth, through
// the stock docker CLI and through the API.
package e2e

import (
	"fmt"
	"os"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

func TestMain(m *testing.M) {
	harness.Enter(func() int {
		code, err := withSubordinates(m.Run)
		if err != nil {
			fmt.Fprintln(os.Stderr, "lab:", err)
		}
		return code
	})
}

// engine is a fresh engine that has the image busybox.
func engine(t *testing.T, flags ...string) *harness.Engine {
	t.Helper()
	e := harness.New(t, flags...)
	e.Judge()
	e.Busybox()
	return e
}
