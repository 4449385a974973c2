package diskspace

import (
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	s, err := Of(t.TempDir())
	if err != nil || s.Used+s.Free <= 0 || s.Percent() < 0 || s.Percent() > 100 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := Of("/does/not/exist"); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("nothing there: %v", err)
	}
	if got := (Space{Used: 30, Free: 10}).Percent(); got != 75 {
		t.Errorf("Percent = %v", got)
	}
	if got := (Space{}).Percent(); got != 0 {
		t.Errorf("Percent of nothing = %v", got)
	}
}
