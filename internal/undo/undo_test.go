package undo

import (
	"context"
	"errors"
	"testing"
)

func TestOnError(t *testing.T) {
	broken, worse := errors.New("broken"), errors.New("worse")
	for _, tc := range []struct {
		name   string
		err    error
		undone string
	}{
		{"nothing to undo", nil, ""},
		{"newest first", broken, "cba"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var undone string
			operation := func() (err error) {
				var back Stack
				defer back.OnError(ctx, &err)
				for _, step := range []string{"a", "b", "c"} {
					back.Add(func(ctx context.Context) error {
						undone += step
						if step == "b" {
							return worse
						}
						return ctx.Err() // the caller's cancellation does not count
					})
				}
				return tc.err
			}
			err := operation()
			if undone != tc.undone || !errors.Is(err, tc.err) || tc.err != nil && !errors.Is(err, worse) {
				t.Fatal(undone, err)
			}
		})
	}
}

func TestOneErrorStaysOneLine(t *testing.T) {
	err := errors.New("broken")
	var back Stack
	back.Add(func(context.Context) error { return nil })
	back.OnError(t.Context(), &err)
	if err.Error() != "broken" {
		t.Fatal(err)
	}
}
