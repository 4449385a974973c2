package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// 200 containers, 8 at a time, each with a network; all answer by address.
func TestMany(t *testing.T) {
	e := engine(t)
	const count, workers = 200, 8
	each := func(do func(i int)) {
		var wg sync.WaitGroup
		next := make(chan int)
		for range workers {
			wg.Go(func() {
				for i := range next {
					do(i)
				}
			})
		}
		for i := range count {
			next <- i
		}
		close(next)
		wg.Wait()
	}
	each(func(i int) {
		if r := e.Berth("run", "-d", "--name", fmt.Sprint("m", i), "busybox", "httpd", "-f", "-h", "/www"); r.Code != 0 {
			t.Errorf("run %d: %s", i, r.Err)
		}
	})
	if t.Failed() {
		return
	}
	addresses := strings.Fields(e.OK(append([]string{"inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"}, names(count)...)...))
	if len(addresses) != count {
		t.Fatalf("%d addresses", len(addresses))
	}
	seen := map[string]bool{}
	for _, ip := range addresses {
		if seen[ip] {
			t.Errorf("%s was given twice", ip)
		}
		seen[ip] = true
	}
	each(func(i int) {
		if !harness.Await(func() bool { return get(t, "http://"+addresses[i]+"/") == page }) {
			t.Errorf("%s does not answer", addresses[i])
		}
	})
	if n := len(strings.Fields(e.OK("ps", "-q"))); n != count {
		t.Errorf("ps shows %d", n)
	}
	e.OK(append([]string{"rm", "-f"}, names(count)...)...)
}

func names(count int) []string {
	var list []string
	for i := range count {
		list = append(list, fmt.Sprint("m", i))
	}
	return list
}
