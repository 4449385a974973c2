package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/berth-containers/berth/test/harness"
)

// row is one or more lines of the table that are measured together.
type row struct {
	lines   []line
	rounds  int // at most this many, for the long ones; 0: as asked
	measure func(*system) ([]float64, error)
}

type line struct{ name, unit string }

func rows(crowd int) []row {
	one := func(name, unit string, measure func(*system) (float64, error)) row {
		return row{[]line{{name, unit}}, 0, func(s *system) ([]float64, error) {
			figure, err := measure(s)
			return []float64{figure}, err
		}}
	}
	return []row{
		one("idle engine", "MiB PSS", func(s *system) (float64, error) { return pss(s), nil }),
		one("run --rm, bridge", "ms", timed("run", "--rm", "busybox", "true")),
		one("run --rm, no network", "ms", timed("run", "--rm", "--network", "none", "busybox", "true")),
		one("exec", "ms", beside(timed("exec", "beside", "true"))),
		one("version", "ms", timed("version")),
		one("ps, one container", "ms", beside(timed("ps"))),
		{[]line{{"names: answers, one at a time", "per second"}, {"names: answers, 64 at once", "per second"},
			{"names: processor time of the engine", "µs each"}}, 5, names},
		{[]line{{"many: run -d, 8 at a time", "containers/s"}, {"many: memory per idle container", "MiB PSS"}, {"many: rm -f of all", "ms"}},
			2, func(s *system) ([]float64, error) { return many(s, crowd) }},
		{[]line{{"logs: 500 MiB of lines written", "MiB/s"}, {"logs: processors' time for it", "s"}, {"logs: read back", "MiB/s"}, {"logs: the last line", "ms"}}, 2, talkative},
		{[]line{{"crowd: ps", "ms"}, {"crowd: stats --no-stream", "ms"}}, 2, func(s *system) ([]float64, error) { return crowded(s, crowd) }},
	}
}

func timed(args ...string) func(*system) (float64, error) {
	return func(s *system) (float64, error) {
		began := time.Now()
		err := s.do(args...)
		return ms(time.Since(began)), err
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// beside measures with one container running.
func beside(measure func(*system) (float64, error)) func(*system) (float64, error) {
	return func(s *system) (figure float64, err error) {
		if err := s.do("run", "-d", "--name", "beside", "busybox", "sleep", "100000"); err != nil {
			return 0, err
		}
		rest := time.NewTimer(restAfterNetworks)
		<-rest.C
		figure, err = measure(s)
		return figure, errors.Join(err, s.remove("beside"))
	}
}

// gather starts a crowd, 8 at a time.
func gather(s *system, count int) error {
	var wg sync.WaitGroup
	next, errs := make(chan int), make(chan error, count)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				errs <- s.do("run", "-d", "--name", fmt.Sprint("crowd", i), "busybox", "sleep", "100000")
			}
		})
	}
	for i := range count {
		next <- i
	}
	close(next)
	wg.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	return all
}

func disperse(s *system, count int) error {
	var names []string
	for i := range count {
		names = append(names, fmt.Sprint("crowd", i))
	}
	return s.remove(names...)
}

// settling is how long a system may take to collect what starting many cost.
const settling = 3 * time.Second

// many starts a crowd, looks at it and removes it.
func many(s *system, count int) ([]float64, error) {
	idle := pss(s)
	began := time.Now()
	if err := gather(s, count); err != nil {
		return nil, errors.Join(err, disperse(s, count))
	}
	rate := float64(count) / time.Since(began).Seconds()
	settle := time.NewTimer(settling)
	<-settle.C
	each := (pss(s) - idle) / float64(count)
	began = time.Now()
	err := disperse(s, count)
	return []float64{rate, each, ms(time.Since(began))}, err
}

// pss adds up the memory, shared pages in part, of every process of a system
// that is not a container's own, in MiB.
func pss(s *system) float64 {
	var kib float64
	for _, dir := range s.processes() {
		rollup, _ := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
		for line := range strings.Lines(string(rollup)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
				n, _ := strconv.ParseFloat(f[1], 64)
				kib += n
			}
		}
	}
	return kib / 1024
}

// processes are the folders in /proc of a system's own.
func (s *system) processes() (dirs []string) {
	for _, pid := range harness.Processes() {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		args := strings.ReplaceAll(string(cmdline), "\x00", " ")
		if strings.Contains(args, s.root) && !strings.Contains(args, "test/bench") {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// tick is the unit of processor time in /proc.
const tick = 10 * time.Millisecond

// processor is the time that a system's own processes have had.
func (s *system) processor() (sum time.Duration) {
	for _, dir := range s.processes() {
		stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
		f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		for i := 11; i <= 12 && i < len(f); i++ {
			n, _ := strconv.Atoi(f[i])
			sum += time.Duration(n) * tick
		}
	}
	return sum
}
