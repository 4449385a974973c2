package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// spoken is how much the talkative container says, in MiB.
const spoken = 500

// talkative writes lines of 100 bytes and reads them back.
func talkative(s *system) (figures []float64, err error) {
	defer func() { err = errors.Join(err, s.remove("talk")) }()
	line := strings.Repeat("x", 99)
	busy, began := cpu(), time.Now()
	// -d: what is measured is the log, not the client.
	if err := s.do("run", "-d", "--name", "talk", "busybox", "sh", "-c", fmt.Sprintf("yes %s | head -c %d; echo the end", line, spoken<<20)); err != nil {
		return nil, err
	}
	if err := s.do("wait", "talk"); err != nil {
		return nil, err
	}
	figures = append(figures, spoken/time.Since(began).Seconds(), cpu()-busy)
	began = time.Now()
	read, err := s.count("logs", "talk")
	if err != nil {
		return nil, err
	}
	figures = append(figures, float64(read)/(1<<20)/time.Since(began).Seconds())
	began = time.Now()
	last, err := s.output("logs", "--tail", "1", "talk")
	if strings.TrimSpace(last) != "the end" {
		err = errors.Join(err, fmt.Errorf("the last line is %q", last))
	}
	return append(figures, ms(time.Since(began))), err
}

// count is how many bytes a client prints.
func (s *system) count(args ...string) (int, error) {
	argv := append(append([]string{}, s.client...), args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), s.env...)
	var n counter
	cmd.Stdout = &n
	err := s.place.run(cmd)
	return int(n), err
}

type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// cpu is the time that the processors have worked, in seconds.
func cpu() float64 {
	text, _ := os.ReadFile("/proc/stat")
	fields := strings.Fields(strings.SplitN(string(text), "\n", 2)[0])
	ticks := 0
	for i, f := range fields {
		if n, err := strconv.Atoi(f); err == nil && i != 4 && i != 5 && i < 9 { // neither idle nor waiting
			ticks += n
		}
	}
	return float64(ticks) / 100
}

// crowded looks at many containers that run.
func crowded(s *system, count int) (figures []float64, err error) {
	defer func() { err = errors.Join(err, disperse(s, count)) }()
	if err := gather(s, count); err != nil {
		return nil, err
	}
	settle := time.NewTimer(settling)
	<-settle.C
	for _, args := range [][]string{{"ps"}, {"stats", "--no-stream"}} {
		began := time.Now()
		if err := s.do(args...); err != nil {
			return nil, err
		}
		figures = append(figures, ms(time.Since(began)))
	}
	return figures, nil
}
