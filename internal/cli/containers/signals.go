package containers

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// enough is after how many requests to end the client does, whatever the
// container does.
const enough = 3

// forwardSignals passes signals to send until stop.
func forwardSignals(errOut io.Writer, send func(syscall.Signal) error) (stop func()) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGALRM, syscall.SIGCONT, syscall.SIGTSTP)
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		asked := 0
		for {
			select {
			case <-done:
				return
			case s := <-signals:
				sig := s.(syscall.Signal)
				if sig == syscall.SIGINT || sig == syscall.SIGTERM {
					if asked++; asked == enough {
						fmt.Fprintf(errOut, "got %d SIGTERM/SIGINTs, forcefully exiting\n", enough)
						os.Exit(1) // the user insists; the container runs on
					}
				}
				// It may have ended meanwhile, which is what the signal was for.
				wait.Go(func() { _ = send(sig) })
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(done)
		wait.Wait()
	}
}
