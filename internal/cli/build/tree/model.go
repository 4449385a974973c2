// Package tree shows how a build goes: on a terminal as a tree of stages and
// steps with their times, elsewhere as lines.
//
// A model takes BuildKit's status messages, in any order and repeatedly, and
// holds what is known; the view draws it. Nothing of it outlives the process.
package tree

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// Step is one instruction, or one thing that the builder does for itself.
type Step struct {
	Name      string
	Stage     string // "" for the builder's own
	number    int    // in the stage
	started   time.Time
	completed time.Time
	cached    bool
	err       string
	lines     []string
	partial   string
	current   int64 // of what is transferred, in bytes
	total     int64
}

// kept is how many lines of a step's output are held.
const kept = 200

var (
	stageOf  = regexp.MustCompile(`^\[([^\]]+)\] (.*)$`)
	digestOf = regexp.MustCompile(`^(FROM \S+)@sha256:[0-9a-f]{64}`)
)

// stepOf splits "[linux/amd64 build 2/5] RUN x".
func stepOf(name string) *Step {
	m := stageOf.FindStringSubmatch(name)
	if m == nil {
		return &Step{Name: name}
	}
	if m[1] == "internal" || m[1] == "auth" {
		return &Step{Name: m[2]}
	}
	s := &Step{Name: digestOf.ReplaceAllString(m[2], "$1")}
	words := strings.Fields(m[1])
	if n := len(words); n > 0 {
		first, _, _ := strings.Cut(words[n-1], "/")
		if number, err := strconv.Atoi(first); err == nil {
			s.number, words = number, words[:n-1]
		}
	}
	if s.Stage = strings.Join(words, " "); s.Stage == "" {
		s.Stage = "image"
	}
	return s
}

// Title is how the step is spoken of.
func (s *Step) Title() string {
	if s.Stage == "" || s.Stage == "image" {
		return s.Name
	}
	return s.Name + " (stage " + s.Stage + ")"
}

// LastLines are at most the last n lines of its output.
func (s *Step) LastLines(n int) []string {
	lines := s.lines
	if s.partial != "" {
		lines = append(slices.Clone(lines), s.partial)
	}
	return lines[max(0, len(lines)-n):]
}

func (s *Step) log(data []byte) {
	text := s.partial + string(data)
	parts := strings.Split(text, "\n")
	s.partial = parts[len(parts)-1]
	for _, line := range parts[:len(parts)-1] {
		s.lines = append(s.lines, clean(line))
	}
	if len(s.lines) > kept {
		s.lines = slices.Clone(s.lines[len(s.lines)-kept:])
	}
}

// clean keeps what would move a terminal's cursor out of a line of output.
func clean(line string) string {
	line = strings.TrimSuffix(line, "\r")
	if i := strings.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	var b strings.Builder
	escape := false
	for _, r := range line {
		switch {
		case escape:
			escape = !(r >= '@' && r <= '~' && r != '[')
		case r == 0x1b:
			escape = true
		case r == '\t':
			b.WriteString("    ")
		case r >= ' ' && r != 0x7f:
			b.WriteRune(r)
		}
	}
	return b.String()
}

type model struct {
	steps    map[digest.Digest]*Step
	order    []*Step
	warnings []client.VertexWarning
	began    time.Time
}

func newModel(now time.Time) *model {
	return &model{steps: map[digest.Digest]*Step{}, began: now}
}

func (m *model) update(s *client.SolveStatus) {
	for _, v := range s.Vertexes {
		step := m.steps[v.Digest]
		if step == nil {
			step = stepOf(v.Name)
			m.steps[v.Digest] = step
			m.order = append(m.order, step)
		}
		if v.Started != nil {
			step.started = *v.Started
		}
		step.completed = time.Time{}
		if v.Completed != nil {
			step.completed = *v.Completed
		}
		step.cached = step.cached || v.Cached
		step.err = v.Error
	}
	for _, st := range s.Statuses {
		if step := m.steps[st.Vertex]; step != nil {
			step.current, step.total = st.Current, st.Total
		}
	}
	for _, l := range s.Logs {
		if step := m.steps[l.Vertex]; step != nil {
			step.log(l.Data)
		}
	}
	for _, w := range s.Warnings {
		m.warnings = append(m.warnings, *w)
	}
}

// failed is the step that ended the build: one that was not merely cancelled.
func (m *model) failed() *Step {
	for _, s := range m.order {
		if s.err != "" && !strings.HasSuffix(s.err, "context canceled") {
			return s
		}
	}
	return nil
}

// Duration is a time as a person reads it.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0.0s"
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
