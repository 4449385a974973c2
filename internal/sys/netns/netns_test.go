package netns

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"
)

func TestNewAndBack(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	home := link(t, "/proc/self/ns/net")
	var inside string
	ns, err := New(func(*os.File) (err error) {
		inside, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if inside == home {
		t.Error("the setup did not run in a new namespace")
	}
	err = Do(ns, func() error {
		if there := link(t, "/proc/thread-self/ns/net"); there != inside {
			t.Errorf("entered %s, want %s", there, inside)
		}
		links, err := net.Interfaces()
		if len(links) == 0 || links[0].Name != "lo" {
			t.Errorf("links: %v", links)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	want := errors.New("no")
	if _, err := New(func(*os.File) error { return want }); !errors.Is(err, want) {
		t.Errorf("setup's error became %v", err)
	}
}

// The main thread never leaves, and every other comes back.
func TestThreadsComeBack(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	home := link(t, "/proc/self/ns/net")
	var done sync.WaitGroup
	for range 32 {
		done.Go(func() {
			ns, err := New(func(*os.File) error {
				if main := link(t, "/proc/self/ns/net"); main != home {
					t.Errorf("main thread is in %s", main)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
				return
			}
			ns.Close()
		})
	}
	done.Wait()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, th := range threads {
		if at := link(t, "/proc/self/task/"+th.Name()+"/ns/net"); at != home && at != "" {
			t.Errorf("thread %s is in %s", th.Name(), at)
		}
	}
}

func link(t *testing.T, path string) string {
	t.Helper()
	s, err := os.Readlink(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	return s
}
