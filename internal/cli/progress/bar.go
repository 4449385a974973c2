package progress

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/jsonstream"

	"github.com/berth-containers/berth/internal/cli/terminal"
)

// soon is how long something moves before its pace is told.
const soon = 500 * time.Millisecond

// move is one step of a transfer since it began.
type move struct {
	step string
	at   time.Time
	from int64
}

// pace is "3.1MB/s  12s left", as much of it as is known.
func (m *move) pace(current, total int64, now time.Time) string {
	took := now.Sub(m.at)
	if took < soon || current <= m.from {
		return ""
	}
	rate := float64(current-m.from) / took.Seconds()
	text := units.HumanSizeWithPrecision(rate, 3) + "/s"
	if total <= current {
		return text
	}
	left := time.Duration(float64(total-current) / rate * float64(time.Second))
	return text + "  " + brief(left) + " left"
}

// brief is a time in one or two units.
func brief(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds())+1)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// bar is "[====>    ]  1MB/3MB  2MB/s  1s left", as much of it as there is room for.
func bar(p *jsonstream.Progress, room int, pace string) string {
	if p.Units != "" && p.Units != "bytes" { // a count, such as seconds of waiting
		if p.Units == "s" {
			return time.Duration(p.Current * int64(time.Second)).String()
		}
		return fmt.Sprintf("%d %s", p.Current, p.Units)
	}
	if p.Current <= 0 && p.Total <= 0 {
		return ""
	}
	text := units.HumanSize(float64(p.Current))
	if p.Total > 0 && p.Current <= p.Total {
		text += "/" + units.HumanSize(float64(p.Total))
	}
	if pace != "" && len(text)+2+len(pace) <= room {
		text += "  " + pace
	}
	if p.Total <= 0 || p.Current > p.Total {
		return text
	}
	const most = 50
	width := min(most, room-len(text)-4)
	if width < 10 {
		return text
	}
	full := int(int64(width) * p.Current / p.Total)
	head := ">"
	if full == width {
		head = ""
	}
	done := strings.Repeat("=", full) + head
	return fmt.Sprintf("[%-*s]  %s", width, done, text)
}

// often is how often a bar is drawn.
const often = 100 * time.Millisecond

// Reader is r, whose bytes are shown as they are read, if w is a terminal; total
// is 0 if it is not known.
func Reader(w io.Writer, what string, total int64, r io.Reader) io.Reader {
	f := terminal.Of(w)
	if f == nil {
		return r
	}
	width, _ := terminal.Size(f)
	return &shown{r: r, w: w, what: what, total: total, width: int(width), move: move{at: time.Now()}}
}

type shown struct {
	r           io.Reader
	w           io.Writer
	what        string
	read, total int64
	width       int
	move        move
	last        time.Time
	ended       bool
}

func (s *shown) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.read += int64(n)
	if now := time.Now(); err != nil || now.Sub(s.last) >= often {
		s.last = now
		s.draw(now, err != nil)
	}
	return n, err
}

func (s *shown) draw(now time.Time, end bool) {
	if s.ended {
		return
	}
	p := jsonstream.Progress{Current: s.read, Total: s.total}
	line := s.what + ": " + bar(&p, s.width-len(s.what)-3, s.move.pace(s.read, s.total, now))
	fmt.Fprintf(s.w, "\r\x1b[2K%s", line)
	if end {
		s.ended = true
		fmt.Fprintln(s.w)
	}
}
