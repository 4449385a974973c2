package install

import (
	"sync"
	"time"

	"github.com/berth-containers/berth/internal/sys/syncfs"
)

// flushEvery is how often what is being unpacked is sent to the disk, which
// would else have nothing to do until all of it is to be made durable at once.
const flushEvery = 200 * time.Millisecond

// flush sends what is written to the disk as it comes, until stop is called.
// An error is found by the flush that counts, at the end.
func (s *Installer) flush() (stop func()) {
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
				_ = syncfs.Sync(s.Root)
			}
		}
	})
	return func() { close(ended); work.Wait() }
}
