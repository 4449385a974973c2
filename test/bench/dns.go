package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/ipv4"

	"github.com/berth-containers/berth/internal/sys/netns"
)

const (
	askFor     = 2 * time.Second
	askers     = 2  // sockets
	askAtOnce  = 32 // open questions of each
	askTimeout = 3 * time.Second
)

// names measures how fast a network's names are answered in a container: one
// question after the other, and many at once.
func names(s *system) (figures []float64, err error) {
	if err := s.do("network", "create", "bench"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.remove("asker", "asked"), s.do("network", "rm", "bench")) }()
	for _, name := range []string{"asked", "asker"} {
		if err := s.do("run", "-d", "--network", "bench", "--name", name, "busybox", "sleep", "100000"); err != nil {
			return nil, err
		}
	}
	pid, err := s.output("inspect", "--format", "{{.State.Pid}}", "asker")
	if err != nil {
		return nil, err
	}
	ns, err := os.Open("/proc/" + strings.TrimSpace(pid) + "/ns/net")
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	rest := time.NewTimer(restAfterNetworks)
	<-rest.C
	one, _, err := answers(ns, 1, 1)
	if err != nil {
		return nil, err
	}
	before := s.processor()
	many, count, err := answers(ns, askers, askAtOnce)
	each := float64((s.processor() - before).Microseconds()) / float64(max(count, 1))
	return []float64{one, many, each}, err
}

// answers is how many come, and per second.
func answers(ns *os.File, sockets, window int) (rate float64, sum int64, err error) {
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	err = netns.Do(ns, func() error {
		for range sockets {
			c, err := net.Dial("udp4", "127.0.0.11:53")
			if err != nil {
				return err
			}
			conns = append(conns, c)
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	question := dnsmessage.Message{Header: dnsmessage.Header{ID: 1, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("asked."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	raw, err := question.Pack()
	if err != nil {
		return 0, 0, err
	}
	var work sync.WaitGroup
	var count atomic.Int64
	errs := make(chan error, sockets)
	began := time.Now()
	for _, c := range conns {
		work.Go(func() { errs <- ask(c, raw, window, began.Add(askFor), &count) })
	}
	work.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return float64(count.Load()) / time.Since(began).Seconds(), count.Load(), err
}

// ask keeps a number of questions open. It sends and receives many by one system
// call, so that what is measured is not the measuring.
func ask(c net.Conn, raw []byte, window int, until time.Time, count *atomic.Int64) error {
	c.SetDeadline(until.Add(askTimeout))
	conn := ipv4.NewPacketConn(c.(*net.UDPConn))
	questions, answers := make([]ipv4.Message, window), make([]ipv4.Message, window)
	for i := range questions {
		questions[i].Buffers = [][]byte{raw}
		answers[i].Buffers = [][]byte{make([]byte, 512)}
	}
	for sum, open := int64(0), 0; ; {
		for open < window {
			n, err := conn.WriteBatch(questions[open:], 0)
			if err != nil {
				return err
			}
			open += n
		}
		n, err := conn.ReadBatch(answers, 0)
		if err != nil {
			return err
		}
		for _, a := range answers[:n] {
			if code := a.Buffers[0][3] & 0xf; a.N < len(raw)+16 || code != 0 {
				return fmt.Errorf("no address in an answer of %d bytes, code %d", a.N, code)
			}
		}
		sum, open = sum+int64(n), open-n
		if time.Now().After(until) {
			count.Add(sum)
			return nil
		}
	}
}
