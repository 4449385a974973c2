package supervisor

import (
	"os"
	"testing"
	"time"

	"github.com/berth-containers/berth/internal/sys/pidfd"
)

func openPidfd(t *testing.T, pid int) *os.File {
	t.Helper()
	f, err := pidfd.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func waitReaped(f *os.File) error {
	f.SetReadDeadline(time.Now().Add(wait / 6))
	return pidfd.WaitReaped(f)
}

func waitPidfd(f *os.File) error { return pidfd.WaitExit(f) }

// awaitHeld waits until the client holds all keys and returns files of them.
func (v *victim) awaitHeld(t *testing.T, keys ...string) map[string]*os.File {
	t.Helper()
	files := map[string]*os.File{}
	for _, key := range keys {
		for files[key] == nil {
			f, err := v.Client.Held(key)
			if err == nil {
				files[key] = f
				t.Cleanup(func() { f.Close() })
			} else if v.ctx.Err() != nil {
				t.Fatalf("%s is not held: %v", key, err)
			}
		}
	}
	return files
}
