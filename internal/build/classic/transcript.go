package classic

import (
	"fmt"
	"slices"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
)

// Transcript turns BuildKit's progress into the classic builder's: the
// instructions in the order of the Dockerfile, each with its output. What runs
// side by side is told one after the other. It is not for concurrent use.
type Transcript struct {
	say   func(text string) error
	steps []step
	next  int // the first step that was not told to its end
	of    map[string]int
	known bool // BuildKit has told what it is going to do
}

// step is an instruction and what is known of its run.
type step struct {
	instruction
	digest    string // of its vertex
	announced bool
	started   bool
	done      bool
	cached    bool
	held      []string // output that came before its turn
}

// NewTranscript returns one for a Dockerfile, nil if it is not at hand.
func NewTranscript(dockerfile []byte, say func(text string) error) *Transcript {
	t := &Transcript{say: say, of: map[string]int{}}
	for _, i := range instructions(dockerfile) {
		t.steps = append(t.steps, step{instruction: i})
	}
	return t
}

// Take takes a message of BuildKit's progress.
func (t *Transcript) Take(m *controlapi.StatusResponse) error {
	for _, v := range m.Vertexes {
		t.vertex(v)
	}
	for _, l := range m.Logs {
		if err := t.output(l.Vertex, string(l.Msg)); err != nil {
			return err
		}
	}
	return t.advance(false)
}

func (t *Transcript) vertex(v *controlapi.Vertex) {
	at, ok := t.of[v.Digest]
	if !ok {
		name, isStep := parseName(v.Name)
		if !isStep {
			return
		}
		if at = find(t.fileSteps(), name); at < 0 {
			// Not of the file: the file is elsewhere, or the base says so.
			at = len(t.steps)
			t.steps = append(t.steps, step{instruction: instruction{text: name.text, stage: -1, layer: true}})
		}
		t.known = true
		t.of[v.Digest] = at
	}
	s := &t.steps[at]
	s.digest = v.Digest
	s.started = s.started || v.Started != nil
	s.done = s.done || v.Completed != nil && v.Error == ""
	s.cached = s.cached || v.Cached
}

func (t *Transcript) fileSteps() []instruction {
	list := make([]instruction, len(t.steps))
	for i, s := range t.steps {
		list[i] = s.instruction
	}
	return list
}

func (t *Transcript) output(digest, text string) error {
	at, ok := t.of[digest]
	if !ok {
		return nil
	}
	if at == t.next && t.steps[at].announced {
		return t.say(text)
	}
	if at >= t.next {
		t.steps[at].held = append(t.steps[at].held, text)
	}
	return nil
}

// advance tells what there is to be told by now.
func (t *Transcript) advance(all bool) error {
	for ; t.next < len(t.steps); t.next++ {
		s := &t.steps[t.next]
		switch {
		case all:
		case !t.known:
			return nil
		case s.digest != "" && !s.started && !s.done:
			return nil
		case s.digest == "" && s.layer && !t.later():
			return nil // it may yet come
		}
		if err := t.announce(s); err != nil {
			return err
		}
		if s.digest != "" && !s.done && !all {
			return nil
		}
	}
	return nil
}

// later is whether something runs or ran that comes after the next step.
func (t *Transcript) later() bool {
	return slices.ContainsFunc(t.steps[t.next+1:], func(s step) bool { return s.started || s.done })
}

func (t *Transcript) announce(s *step) error {
	if !s.announced {
		s.announced = true
		if err := t.say(fmt.Sprintf("Step %d/%d : %s\n", t.next+1, len(t.steps), s.text)); err != nil {
			return err
		}
		if s.started && !s.cached && strings.HasPrefix(strings.ToUpper(s.text), "RUN") {
			if err := t.say(" ---> Running in " + short(s.digest) + "\n"); err != nil {
				return err
			}
		}
	}
	for _, text := range s.held {
		if err := t.say(text); err != nil {
			return err
		}
	}
	s.held = nil
	if s.done && s.cached && !s.isFrom {
		s.cached = false // once
		return t.say(" ---> Using cache\n")
	}
	return nil
}

// Finish tells the rest: id is the image's, "" if there is none.
func (t *Transcript) Finish(id string, tags []string) error {
	if err := t.advance(true); err != nil || id == "" {
		return err
	}
	if err := t.say("Successfully built " + short(id) + "\n"); err != nil {
		return err
	}
	for _, tag := range tags {
		if err := t.say("Successfully tagged " + tag + "\n"); err != nil {
			return err
		}
	}
	return nil
}

const shortID = 12

func short(id string) string {
	_, hex, ok := strings.Cut(id, ":")
	if !ok {
		hex = id
	}
	return hex[:min(shortID, len(hex))]
}
