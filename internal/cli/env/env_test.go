package env

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestTogether(t *testing.T) {
	var out, errs bytes.Buffer
	e := &Env{Out: &out, Err: &errs}
	var args, want []string
	for i := range 2 * atOnce {
		args = append(args, fmt.Sprint("c", i))
		if i != 3 && i != 5 {
			want = append(want, args[i])
		}
	}
	second := make(chan struct{})
	err := e.Together(args, func(arg string) error {
		switch arg {
		case "c0":
			<-second // would wait for ever if they were not at once
		case "c1":
			close(second)
		case "c3":
			return errors.New("broken")
		case "c5":
			return &Aside{errors.New("absent")}
		}
		return nil
	})
	if err == nil || err.Error() != "broken" {
		t.Errorf("got %v", err)
	}
	if got := strings.Fields(out.String()); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("printed %v", got)
	}
	if errs.String() != "absent\n" {
		t.Errorf("told %q", errs.String())
	}
}
