package command

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/berth-containers/berth/internal/leanjson"
)

// log is where engines look for what went wrong.
type log struct {
	path, format string // no path: err alone
	verbose      bool
	err          io.Writer
}

// error is told to the log and to stderr.
func (l *log) error(err error) {
	fmt.Fprintf(l.err, "berth-runtime: %v\n", err)
	if l.path != "" {
		l.write("error", err.Error())
	}
}

func (l *log) warn(format string, args ...any) { l.line("warning", format, args...) }

func (l *log) warnings(list []string) {
	for _, w := range list {
		l.warn("%s", w)
	}
}

func (l *log) debug(format string, args ...any) {
	if l.verbose {
		l.line("debug", format, args...)
	}
}

// line goes to the log, or to stderr without one.
func (l *log) line(level, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if l.path == "" {
		fmt.Fprintf(l.err, "berth-runtime: %s: %s\n", level, text)
		return
	}
	l.write(level, text)
}

func (l *log) write(level, text string) {
	now := time.Now().Format(time.RFC3339)
	line := fmt.Appendf(nil, "time=%q level=%s msg=%q", now, level, text)
	if l.format == "json" {
		// Three strings always marshal.
		line, _ = leanjson.Marshal(map[string]string{"level": level, "msg": text, "time": now})
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err == nil {
		_, err = f.Write(append(line, '\n'))
		f.Close()
	}
	if err != nil {
		fmt.Fprintf(l.err, "berth-runtime: write the log: %v\n%s\n", err, text)
	}
}
