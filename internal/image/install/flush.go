package install

import (
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
)

// flushEvery is how often a blob that comes is sent to the disk, which would
// else have nothing to do until all of it is to be made durable at once.
const flushEvery = 200 * time.Millisecond

// steady sends what is written to a blob to the disk as it comes, until stop is
// called, which must be before the blob is committed. An error is found by the flush that counts, that of its commit.
func steady(w content.Writer) (stop func()) {
	s, ok := w.(content.Syncer)
	if !ok {
		return func() {}
	}
	ended := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		tick := time.NewTicker(flushEvery)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				_ = s.Sync()
			}
		}
	})
	return sync.OnceFunc(func() { close(ended); work.Wait() })
}
