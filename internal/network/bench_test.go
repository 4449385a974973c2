package network

import (
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-containers/berth/internal/container"
	"github.com/berth-containers/berth/internal/network/publish"
)

// BenchmarkMake makes a sandbox from nothing and gives it up.
func BenchmarkMake(b *testing.B) {
	n := open(b, testConfig(b))
	for b.Loop() {
		s, err := n.standard.maker.Make()
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		s.NS.Close()
		b.StartTimer()
	}
}

// BenchmarkTake takes sandboxes that were made ahead.
func BenchmarkTake(b *testing.B) { benchmarkTake(b, nil) }

// BenchmarkTakePublished takes them with one port.
func BenchmarkTakePublished(b *testing.B) {
	benchmarkTake(b, []container.Port{{HostPort: 8080, ContainerPort: 80}})
}

func benchmarkTake(b *testing.B, ports []container.Port) {
	n := open(b, testConfig(b))
	pool, err := n.start()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		for pool.Ready() < poolSize { // the producer is at it
			runtime.Gosched()
		}
		b.StartTimer()
		taken, err := n.Take(b.Context(), std(n, Request{ContainerID: "bench", Ports: ports}))
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		taken.Close()
		if err := n.Release(b.Context(), taken.Endpoints[0].ContainerID); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkRelease releases an endpoint with one port.
func BenchmarkRelease(b *testing.B) {
	n := open(b, testConfig(b))
	for b.Loop() {
		b.StopTimer()
		taken, err := n.Take(b.Context(), std(n, Request{ContainerID: "bench", Ports: []container.Port{{HostPort: 8080, ContainerPort: 80}}}))
		if err != nil {
			b.Fatal(err)
		}
		taken.Close()
		b.StartTimer()
		if err := n.Release(b.Context(), taken.Endpoints[0].ContainerID); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMapping adds and removes one element of the map.
func BenchmarkMapping(b *testing.B) {
	n := open(b, testConfig(b))
	m := []publish.Mapping{{Proto: "tcp", HostIP: netip.IPv4Unspecified(), HostPort: 80, To: netip.MustParseAddrPort("172.30.0.9:80")}}
	for b.Loop() {
		if err := n.table.Add(m); err != nil {
			b.Fatal(err)
		}
		if err := n.table.Remove(m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBurst takes 100 sandboxes at once, 8 of them made ahead.
func BenchmarkBurst(b *testing.B) {
	n := open(b, testConfig(b))
	for b.Loop() {
		var done sync.WaitGroup
		taken := make([]*Sandbox, 100)
		for i := range taken {
			done.Go(func() {
				s, err := n.Take(b.Context(), std(n, Request{ContainerID: "bench"}))
				if err != nil {
					b.Error(err)
				}
				taken[i] = s
			})
		}
		done.Wait()
		b.StopTimer()
		for _, s := range taken {
			s.Close()
			if err := n.Release(b.Context(), s.Endpoints[0].ContainerID); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
	}
}

// BenchmarkFirstConnect connects from sandboxes the moment they are made, 50 at
// once, and reports the slowest: 1000 ms would mean that a packet was lost.
func BenchmarkFirstConnect(b *testing.B) {
	n := open(b, testConfig(b))
	box{t: b}.serve(7)
	var slowest atomic.Int64
	for b.Loop() {
		var done sync.WaitGroup
		for range 50 {
			done.Go(func() {
				s, err := n.standard.maker.Make()
				if err != nil {
					b.Error(err)
					return
				}
				defer s.NS.Close()
				begin := time.Now()
				if _, err := (box{t: b, ns: s.NS}).ask("tcp", n.Gateway().Addr(), 7); err != nil {
					b.Error(err)
				}
				took := int64(time.Since(begin))
				for old := slowest.Load(); took > old && !slowest.CompareAndSwap(old, took); old = slowest.Load() {
				}
			})
		}
		done.Wait()
	}
	b.ReportMetric(float64(slowest.Load())/1e6, "ms-slowest")
}
