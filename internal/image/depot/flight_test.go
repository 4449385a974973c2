package depot

import (
	"context"
	"errors"
	"testing"
)

func TestFlights(t *testing.T) {
	var f Flights
	ctx := context.Background()
	release, err := f.TakeAll(ctx, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := f.TakeAll(gone, []string{"c", "b"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a taken key: %v", err)
	}
	other, err := f.Take(gone, "c")
	if err != nil {
		t.Fatalf("a refused caller kept what it had: %v", err)
	}
	other()
	taken := make(chan func())
	go func() {
		next, _ := f.Take(ctx, "a")
		taken <- next
	}()
	release()
	(<-taken)()
	if len(f.busy) != 0 {
		t.Errorf("left busy: %v", f.busy)
	}
}
