package rights

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// stamp is what tells that a file is another than the one read.
type stamp struct {
	path     string
	modified time.Time
	size     int64
	missing  bool
}

// Source is a rights file that is read again when it has changed. It looks at
// each call of Current, which costs a stat.
type Source struct {
	path   string
	log    *slog.Logger
	failed func()

	mu     sync.Mutex
	now    *Rights // nil while there was never a file
	stamps []stamp
}

// Open reads the file. If there is none, Current gives nil until there is one.
// failed, if set, is called for each version of the file that is not taken.
func Open(path string, log *slog.Logger, failed func()) (*Source, error) {
	s := &Source{path: path, log: log, failed: failed}
	rights, stamps, err := load(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s.now, s.stamps = rights, stamps
	return s, nil
}

// Current is the newest version that could be read.
func (s *Source) Current() *Rights {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unchanged() {
		return s.now
	}
	rights, stamps, err := load(s.path)
	s.stamps = stamps
	switch {
	case err != nil && s.now != nil:
		s.log.Error("the rights file is not taken; what it said before stays in force", "error", err)
		s.report()
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		// Somebody wants rights and none are known: nobody may do anything.
		s.now = &Rights{}
		s.log.Error("the rights file is not taken; nobody may do anything until it is right", "error", err)
		s.report()
	case err == nil:
		s.now = rights
		s.log.Info("the rights file was read", "file", s.path, "names", len(rights.identities), "rules", len(rights.rules))
	}
	return s.now
}

func (s *Source) report() {
	if s.failed != nil {
		s.failed()
	}
}

func (s *Source) unchanged() bool {
	return !slices.ContainsFunc(s.stamps, func(old stamp) bool { return look(old.path) != old })
}

// load gives the stamps also with an error, so that a wrong file is told of once.
func load(path string) (*Rights, []stamp, error) {
	// Before reading: a change in between is then seen at the next look.
	stamps := []stamp{look(path)}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, stamps, err
	}
	rights, err := Parse(path, text)
	if err != nil {
		return nil, stamps, err
	}
	for _, more := range rights.htpasswd {
		stamps = append(stamps, look(more))
	}
	return rights, stamps, nil
}

func look(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{path: path, missing: true}
	}
	return stamp{path: path, modified: info.ModTime(), size: info.Size()}
}
