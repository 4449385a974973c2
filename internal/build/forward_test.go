package build

import (
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// A request that meets a builder whose remains are being taken away waits for
// the next builder.
func TestReachWaitsForTheDead(t *testing.T) {
	b := &Builder{log: slog.New(slog.DiscardHandler), cfg: Config{Idle: time.Hour}}
	dead := &process{socket: filepath.Join(t.TempDir(), "s"), done: make(chan struct{})}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	b.process = dead
	got := make(chan error, 1)
	go func() {
		_, _, err := b.reach(t.Context())
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(dead.done)
	// There is no binary for another.
	if err := <-got; !errdefs.IsUnavailable(err) || err.Error() == lost(nil).Error() {
		t.Errorf("%v", err)
	}
	if b.idle != nil {
		b.idle.Stop()
	}
}
