// Package progress shows what a pull, push, load or import reports as it goes:
// on a terminal one line for each layer that is drawn again in place, with the
// rate and the time that is left, elsewhere a line for each step without the
// moving numbers.
package progress

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moby/moby/api/types/jsonstream"

	"github.com/berth-containers/berth/internal/cli/terminal"
)

// message also takes the error of engines that send it only as text.
type message struct {
	jsonstream.Message
	ErrorText string `json:"error"`
	Bar       string `json:"progress"` // drawn by older engines
}

// Show prints the messages in r until it ends; aux, if not nil, gets what is
// meant for programs. An error that the engine reports is returned.
func Show(w io.Writer, r io.Reader, aux func(json.RawMessage)) error {
	p := printer{w: w, rows: map[string]int{}, moves: map[string]*move{}, now: time.Now}
	if f := terminal.Of(w); f != nil {
		p.terminal = true
		width, _ := terminal.Size(f)
		p.width = int(width)
	}
	decoder := json.NewDecoder(r)
	for {
		var m message
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read the engine's answer: %w", err)
		}
		switch {
		case m.Error != nil && m.Error.Message != "":
			return errors.New(m.Error.Message)
		case m.ErrorText != "":
			return errors.New(m.ErrorText)
		case m.Aux != nil:
			if aux != nil {
				aux(*m.Aux)
			}
			continue
		}
		if err := p.print(m); err != nil {
			return err
		}
	}
}

type printer struct {
	w        io.Writer
	terminal bool
	width    int
	rows     map[string]int   // the layer's row
	moves    map[string]*move // how fast it goes
	count    int              // rows below which the cursor stands
	now      func() time.Time
}

func (p *printer) print(m message) error {
	moving := m.Bar != "" || m.Progress != nil && *m.Progress != (jsonstream.Progress{})
	switch {
	case m.Stream != "":
		_, err := io.WriteString(p.w, m.Stream)
		return err
	case !p.terminal && moving:
		return nil
	case !p.terminal && m.ID != "":
		_, err := fmt.Fprintf(p.w, "%s: %s\n", m.ID, m.Status)
		return err
	case m.ID == "" || !p.terminal:
		p.rows, p.count = map[string]int{}, 0
		_, err := fmt.Fprintln(p.w, m.Status)
		return err
	}
	return p.redraw(m)
}

// redraw goes up to the layer's row, writes it, and comes back.
func (p *printer) redraw(m message) error {
	line := m.ID + ": " + m.Status
	if m.Progress != nil {
		if bar := bar(m.Progress, p.width-len(line)-1, p.pace(m)); bar != "" {
			line += " " + bar
		}
	}
	if p.width > 0 && len(line) > p.width {
		line = line[:p.width]
	}
	row, known := p.rows[m.ID]
	if !known {
		p.rows[m.ID] = p.count
		p.count++
		_, err := fmt.Fprintln(p.w, line)
		return err
	}
	up := p.count - row
	_, err := fmt.Fprintf(p.w, "\x1b[%dA\r\x1b[2K%s\r\x1b[%dB", up, line, up)
	return err
}

// pace is how fast a layer's present step goes.
func (p *printer) pace(m message) string {
	was := p.moves[m.ID]
	if was == nil || was.step != m.Status || m.Progress.Current < was.from {
		p.moves[m.ID] = &move{step: m.Status, at: p.now(), from: m.Progress.Current}
		return ""
	}
	return was.pace(m.Progress.Current, m.Progress.Total, p.now())
}
