package tree

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/docker/go-units"
)

// draw is the model as lines of at most width columns. With final all steps are
// there and no output; else at most height lines: finished steps give way first.
func (m *model) draw(title string, now time.Time, width, height int, final bool) []string {
	var stages []string
	steps := map[string][]*Step{}
	for _, s := range m.order {
		if s.started.IsZero() {
			continue
		}
		if steps[s.Stage] == nil {
			stages = append(stages, s.Stage)
		}
		steps[s.Stage] = append(steps[s.Stage], s)
	}
	first := map[string]time.Time{}
	for stage, list := range steps {
		first[stage] = slices.MinFunc(list, func(a, b *Step) int { return a.started.Compare(b.started) }).started
		slices.SortStableFunc(list, func(a, b *Step) int { return a.number - b.number })
	}
	slices.SortStableFunc(stages, func(a, b string) int {
		if a == "" || b == "" { // the builder's own come first
			return len(a) - len(b)
		}
		return first[a].Compare(first[b])
	})
	head := row("Building "+title, Duration(now.Sub(m.began)), width)
	for tail := outputLines; ; tail-- {
		lines := []string{head}
		for i, stage := range stages {
			lines = append(lines, drawStage(stage, steps[stage], now, width, max(0, tail), i == len(stages)-1, final || tail > hideDone)...)
		}
		if final || len(lines) <= height || tail < hideDone {
			if !final && len(lines) > height {
				lines = append(lines[:1:1], lines[len(lines)-height+1:]...)
			}
			return lines
		}
	}
}

const (
	outputLines = 6  // of a running step, if there is room
	hideDone    = -1 // from here on finished steps are told as one line
)

func drawStage(name string, steps []*Step, now time.Time, width, tail int, last, all bool) []string {
	branch, rail := "├─ ", "│  "
	if last {
		branch, rail = "└─ ", "   "
	}
	if name == "" {
		name = "preparation"
	}
	lines := []string{branch + name}
	done := 0
	for i, s := range steps {
		if !all && !s.completed.IsZero() && s.err == "" {
			done++
			continue
		}
		branch, below := "├─ ", "│    "
		if i == len(steps)-1 {
			branch, below = "└─ ", "     "
		}
		lines = append(lines, s.row(rail+branch, now, width))
		if s.completed.IsZero() {
			for _, l := range s.LastLines(tail) {
				lines = append(lines, cut(rail+below+l, width))
			}
		}
	}
	if done > 0 {
		lines[0] += fmt.Sprintf(" (%d done)", done)
	}
	return lines
}

func (s *Step) row(branch string, now time.Time, width int) string {
	mark, took := "▸", Duration(now.Sub(s.started))
	switch {
	case s.err != "" && strings.HasSuffix(s.err, "context canceled"):
		mark, took = "–", "stopped"
	case s.err != "":
		mark, took = "✗", Duration(s.completed.Sub(s.started))
	case !s.completed.IsZero() && s.cached:
		mark, took = "✓", "cached"
	case !s.completed.IsZero():
		mark, took = "✓", Duration(s.completed.Sub(s.started))
	case s.total > 0:
		took = units.BytesSize(float64(s.current)) + " of " + units.BytesSize(float64(s.total)) + "  " + took
	case s.current > 0:
		took = units.BytesSize(float64(s.current)) + "  " + took
	}
	return row(branch+mark+" "+s.Name, took, width)
}

// row has one text at the left and one at the right.
func row(left, right string, width int) string {
	room := width - utf8.RuneCountInString(right) - 2
	left = cut(clean(left), room)
	return left + strings.Repeat(" ", max(1, width-1-utf8.RuneCountInString(left)-utf8.RuneCountInString(right))) + right
}

func cut(text string, width int) string {
	if width < 2 || utf8.RuneCountInString(text) < width {
		return text
	}
	return string([]rune(text)[:width-2]) + "…"
}
