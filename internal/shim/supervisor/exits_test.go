package supervisor

import (
	"context"
	"fmt"
	"testing"

	"github.com/berth-containers/berth/internal/shim"
)

// One listener is told every exit once, those before it came and those after.
func TestEveryExitIsTold(t *testing.T) {
	const n = 20
	b := newBench(t)
	run := func(i int) { b.start(b.request(fmt.Sprint("c", i), "sh", "-c", fmt.Sprint("exit ", i))) }
	for i := range n / 2 {
		run(i)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	told := map[string]int{}
	first := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Exits(ctx, func(e shim.Exit) {
			if len(told) == 0 {
				close(first)
			}
			told[e.ID]++
			if e.ID != fmt.Sprint("c", e.Code) {
				t.Errorf("exit %+v", e)
			}
			if len(told) == n {
				cancel()
			}
		})
	}()
	<-first
	for i := n / 2; i < n; i++ {
		run(i)
	}
	<-ended
	for i := range n {
		if id := fmt.Sprint("c", i); told[id] != 1 {
			t.Errorf("%s was told %d times", id, told[id])
		}
	}
}
