package reclaim

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-containers/berth/internal/sys/diskspace"
)

func TestMarks(t *testing.T) {
	for _, row := range []struct{ high, low, want, wrong string }{
		{high: "", low: "", want: "0% 0%"},
		{high: "85%", low: "", want: "85% 76.5%"},
		{high: "85%", low: "70%", want: "85% 70%"},
		{high: "10g", low: "9g", want: "10GiB 9GiB"},
		{high: "10GB", want: "10GiB 9GiB"},
		{high: "85", low: "90", wrong: "not below"},
		{high: "85%", low: "85%", wrong: "not below"},
		{high: "85%", low: "9g", wrong: "not of one kind"},
		{low: "9g", wrong: "no high one"},
		{high: "100%", wrong: "not a percentage"},
		{high: "0%", wrong: "not a percentage"},
		{high: "NaN%", wrong: "not a percentage"},
		{high: "much", wrong: "neither"},
		{high: "-1", wrong: "neither"},
		{high: "0", wrong: "neither"},
	} {
		high, err := ParseMark(row.high)
		low, lowErr := ParseMark(row.low)
		var m Marks
		if err == nil && lowErr == nil {
			m, err = WithLow(high, low)
		}
		if row.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), row.wrong) {
				t.Errorf("%q %q: %v, want %q", row.high, row.low, err, row.wrong)
			}
			continue
		}
		if got := m.High.String() + " " + m.Low.String(); err != nil || got != row.want {
			t.Errorf("%q %q: %s, %v; want %s", row.high, row.low, got, err, row.want)
		}
	}
}

// shop is a store whose images take ten bytes each of a disk of a hundred.
type shop struct {
	list  []Candidate
	inUse string
	other int64 // bytes of others
	parts int64 // bytes of broken pulls
	gone  []string
}

func (s *shop) Candidates() []Candidate { return slices.Clone(s.list) }
func (s *shop) ImageBytes(context.Context) (int64, error) {
	return int64(len(s.list))*10 + s.parts, nil
}
func (s *shop) Delete(context.Context) error { return nil }
func (s *shop) Forget(context.Context) error { s.parts = 0; return nil }
func (s *shop) remove(_ context.Context, id string) (bool, error) {
	if id == s.inUse {
		return false, nil
	}
	s.gone = append(s.gone, id)
	s.list = slices.DeleteFunc(s.list, func(c Candidate) bool { return c.ID == id })
	return true, nil
}

func TestReclaim(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	image := func(id string, age time.Duration, dangling bool) Candidate {
		return Candidate{ID: id, Used: now.Add(-age), Dangling: dangling}
	}
	all := []Candidate{
		image("new", time.Hour, false), image("old", 9*time.Hour, false), image("used", 20*time.Hour, false),
		image("young", time.Minute, true), image("dangling", 2*time.Hour, true), image("older", 10*time.Hour, false),
	}
	for _, row := range []struct {
		name       string
		high, low  string
		other      int64
		parts      int64
		want, said string
	}{
		{name: "below the high mark", high: "70%", low: "30%", want: ""},
		{name: "dangling first", high: "55%", low: "50%", want: "dangling", said: "removed an unused image"},
		{name: "then the oldest", high: "55%", low: "30%", want: "dangling older old"},
		{name: "never what is in use or young", high: "55%", low: "10%", want: "dangling older old new", said: "still above the low mark"},
		{name: "others fill the disk", high: "90%", low: "80%", other: 35, want: "dangling older"},
		{name: "broken pulls first", high: "80%", low: "70%", parts: 30, want: ""},
		{name: "bytes", high: "55b", low: "40b", other: 30, want: "dangling older"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := &shop{list: slices.Clone(all), inUse: "used", other: row.other, parts: row.parts}
			high, err := ParseMark(row.high)
			if err != nil {
				t.Fatal(err)
			}
			low, err := ParseMark(row.low)
			if err != nil {
				t.Fatal(err)
			}
			marks, err := WithLow(high, low)
			if err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			r := New(marks, "", s, s.remove, slog.New(slog.NewTextHandler(&log, nil)))
			r.now = func() time.Time { return now }
			r.space = func(string) (diskspace.Space, error) {
				used, _ := s.ImageBytes(context.Background())
				used += s.other
				return diskspace.Space{Used: used, Free: 100 - used}, nil
			}
			if err := r.Once(context.Background()); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(s.gone, " "); got != row.want {
				t.Errorf("removed %q, want %q", got, row.want)
			}
			if !strings.Contains(log.String(), row.said) {
				t.Errorf("no %q in the log:\n%s", row.said, log.String())
			}
		})
	}
}
