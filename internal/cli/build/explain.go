package build

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"

	"github.com/berth-containers/berth/internal/cli/build/tree"
	"github.com/berth-containers/berth/internal/cli/env"
)

// lastLines is how much of a failed instruction's output is told again.
const lastLines = 20

// explain tells of a build that failed: where, what it printed last, what may be
// meant, and how to look into it.
func (o *options) explain(e *env.Env, p *plan, view *tree.View, err error) error {
	if view.Mode() == tree.JSON {
		return &env.Status{Code: 1, Err: errors.New(message(err))}
	}
	text := message(err)
	sources := errdefs.Sources(err)
	var source *errdefs.Source
	line := 0
	if len(sources) > 0 {
		source = sources[0]
		for _, r := range source.Ranges {
			if line == 0 || int(r.Start.Line) < line {
				line = int(r.Start.Line)
			}
		}
	}
	if failed := view.Failed(); failed != nil {
		fmt.Fprintf(e.Err, "\n%s failed", failed.Title())
		if lines := failed.LastLines(lastLines); len(lines) > 0 {
			fmt.Fprintf(e.Err, "; its last output:\n  %s", strings.Join(lines, "\n  "))
		}
		fmt.Fprintln(e.Err)
	}
	where := ""
	if source != nil && source.Info != nil && line > 0 {
		where = p.place(line, column(source.Info, line, text)) + ": "
		fmt.Fprint(e.Err, "\n"+excerpt(source))
	}
	var data []byte
	if source != nil && source.Info != nil {
		data = source.Info.Data
	}
	if hint := p.hint(text, data); hint != "" {
		fmt.Fprintln(e.Err, "\n"+hint)
	}
	if failed := view.Failed(); !o.debugShell && failed != nil && failed.Stage != "" && strings.HasPrefix(failed.Name, "RUN ") {
		fmt.Fprintf(e.Err, "\nA shell in the state before it:\n  %s\n", o.again("--debug-shell"))
	}
	fmt.Fprintln(e.Err)
	return &env.Status{Code: 1, Err: errors.New(where + text)}
}

// wrappers are what errors were wrapped in on their way here.
var wrappers = regexp.MustCompile(`^(failed to (solve|build|run Build function|build LLB|load cache key|compute cache key|create LLB definition|solve with frontend \S+|calculate checksum of ref \S+)|rpc error: code = \w+ desc =|dockerfile parse error (on )?line \d+): ?`)

// unknown is an instruction; the frontend's own guess overlooks swapped letters.
var unknown = regexp.MustCompile(`^unknown instruction: (\S+)`)

var instructions = strings.Fields("RUN COPY ADD FROM ENV ARG CMD ENTRYPOINT EXPOSE HEALTHCHECK LABEL MAINTAINER ONBUILD SHELL STOPSIGNAL USER VOLUME WORKDIR")

// message is an error without the layers that it came through.
func message(err error) string {
	text := err.Error()
	for wrappers.MatchString(text) {
		text = wrappers.ReplaceAllString(text, "")
	}
	if m := unknown.FindStringSubmatch(text); m != nil {
		if near := nearest(m[1], instructions); near != "" {
			text = "unknown instruction: " + m[1] + " (did you mean " + near + "?)"
		}
	}
	if grpcerrors.Code(err) == codes.Unimplemented {
		text += ": the engine's builder does not know that"
	}
	return text
}

// excerpt is the instruction with the lines around it.
func excerpt(s *errdefs.Source) string {
	lines := strings.Split(strings.TrimSuffix(string(s.Info.Data), "\n"), "\n")
	first, last := len(lines), 0
	for _, r := range s.Ranges {
		first, last = min(first, int(r.Start.Line)), max(last, int(r.Start.Line), int(r.End.Line))
	}
	var b strings.Builder
	for n := max(1, first-2); n <= min(len(lines), last+2); n++ {
		mark := " "
		if inRanges(s.Ranges, n) {
			mark = ">"
		}
		fmt.Fprintf(&b, "%s %4d | %s\n", mark, n, strings.TrimSuffix(lines[n-1], "\r"))
	}
	return b.String()
}

func inRanges(ranges []*pb.Range, line int) bool {
	for _, r := range ranges {
		if int(r.Start.Line) <= line && line <= max(int(r.Start.Line), int(r.End.Line)) {
			return true
		}
	}
	return false
}

var (
	missing   = regexp.MustCompile(`"/([^"]*)": not found`)
	unpulled  = regexp.MustCompile(`(?:failed to resolve source metadata for |pull access denied for |No such image: )"?([^\s:",]+)`)
	stageName = regexp.MustCompile(`(?im)^\s*FROM\s+.*\sAS\s+(\S+)`)
)

// hint says what may be meant.
func (p *plan) hint(text string, dockerfile []byte) string {
	if m := missing.FindStringSubmatch(text); m != nil && p.contextDir != "" {
		return p.missingFile(m[1])
	}
	if m := unpulled.FindStringSubmatch(text); m != nil && !strings.Contains(text, "did you mean") {
		name := strings.TrimPrefix(strings.TrimPrefix(m[1], "docker.io/"), "library/")
		var stages []string
		for _, s := range stageName.FindAllStringSubmatch(string(dockerfile), -1) {
			stages = append(stages, s[1])
		}
		if near := nearest(name, stages); near != "" {
			return fmt.Sprintf("No stage is called %q, so it was looked for as an image. Did you mean the stage %q?", name, near)
		}
	}
	return ""
}

// missingFile says why a file of the context is not there for the build.
func (p *plan) missingFile(name string) string {
	if _, err := os.Lstat(filepath.Join(p.contextDir, name)); err == nil {
		return fmt.Sprintf("%s is in the context %s, but .dockerignore keeps it from the build.", name, p.contextDir)
	}
	const most = 20000 // names that are looked at
	var names []string
	_ = filepath.WalkDir(p.contextDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || len(names) > most {
			return fs.SkipAll
		}
		if rel, err := filepath.Rel(p.contextDir, path); err == nil && rel != "." {
			names = append(names, rel)
		}
		return nil
	})
	text := fmt.Sprintf("The context %s has no %q.", p.contextDir, name)
	near := nearest(name, names)
	for _, n := range names {
		if near == "" && filepath.Base(n) == filepath.Base(name) {
			near = n
		}
	}
	if near != "" {
		text += fmt.Sprintf(" Did you mean %q?", near)
	}
	return text
}

// nearest is the name that differs least, if that is little for its length.
func nearest(name string, names []string) string {
	best, least := "", max(1, len(name)/3)+1
	for _, n := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is how many letters to change, add or drop, or pairs to swap.
func distance(a, b string) int {
	before, previous := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(previous[j]+cost, previous[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, previous = previous, row
	}
	return previous[len(b)]
}
