package tree

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"

	"github.com/berth-containers/berth/internal/cli/terminal"
)

// Mode is how progress is shown.
type Mode string

// The modes. Plain and JSON are BuildKit's own forms, which programs read.
const (
	Terminal Mode = "tty"
	Plain    Mode = "plain"
	JSON     Mode = "rawjson"
	None     Mode = "none"
)

// interval is the time between two drawings.
const interval = 100 * time.Millisecond

// View shows one build.
type View struct {
	out   io.Writer
	mode  Mode
	title string

	mu     sync.Mutex
	model  *model
	drawn  int // lines that stand on the terminal
	paused bool
	ended  time.Time
}

// New writes to out, which is a terminal if the mode says so.
func New(out io.Writer, mode Mode, title string) *View {
	return &View{out: out, mode: mode, title: title, model: newModel(time.Now())}
}

// Show takes messages until there are no more.
func (v *View) Show(status <-chan *client.SolveStatus) {
	forward, done := v.other()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case s, ok := <-status:
			if !ok {
				close(forward)
				<-done
				v.end()
				return
			}
			v.mu.Lock()
			v.model.update(s)
			v.mu.Unlock()
			forward <- s
		case <-tick.C:
			v.draw(false)
		}
	}
}

// other is BuildKit's own display, or one that shows nothing.
func (v *View) other() (chan *client.SolveStatus, <-chan struct{}) {
	mode := progressui.QuietMode
	if v.mode == Plain || v.mode == JSON {
		mode = progressui.DisplayMode(v.mode)
	}
	c, done := make(chan *client.SolveStatus), make(chan struct{})
	go func() {
		defer close(done)
		display, err := progressui.NewDisplay(v.out, mode)
		if err == nil {
			_, err = display.UpdateFrom(context.Background(), c)
		}
		if err != nil {
			fmt.Fprintln(v.out, err)
		}
		for range c { // of a display that gave up
		}
	}()
	return c, done
}

func (v *View) draw(final bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mode != Terminal || v.paused {
		return
	}
	width, height := uint(80), uint(24)
	if f := terminal.Of(v.out); f != nil {
		if w, h := terminal.Size(f); w > 0 && h > 0 {
			width, height = w, h
		}
	}
	lines := v.model.draw(v.title, time.Now(), int(width), int(height)-1, final)
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	b.WriteString("\r\x1b[J")
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	v.drawn = len(lines)
	_, _ = io.WriteString(v.out, b.String())
}

// Pause draws for the last time, so that others may write.
func (v *View) Pause() {
	v.draw(true)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.paused = true
}

func (v *View) end() {
	v.draw(true)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended = time.Now()
}

// Mode is how progress was shown.
func (v *View) Mode() Mode { return v.mode }

// Elapsed is how long the build took.
func (v *View) Elapsed() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ended.Sub(v.model.began)
}

// Warnings are those that the builder sent.
func (v *View) Warnings() []client.VertexWarning {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.model.warnings
}

// Failed is the step that ended the build, or nil.
func (v *View) Failed() *Step {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.model.failed()
}

// Said is the last of the builder's own steps whose name begins so, or "".
func (v *View) Said(begin string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range slices.Backward(v.model.order) {
		if s.Stage == "" && strings.HasPrefix(s.Name, begin) {
			return s.Name
		}
	}
	return ""
}
