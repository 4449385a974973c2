package build

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/frontend/subrequests"
	"github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/moby/buildkit/frontend/subrequests/outline"
	"github.com/moby/buildkit/frontend/subrequests/targets"
	"github.com/moby/buildkit/solver/pb"

	"github.com/berth-containers/berth/internal/atomicfile"
	"github.com/berth-containers/berth/internal/cli/env"
)

// printAnswer prints what a request of --call came to.
func (o *options) printAnswer(e *env.Env, p *plan, a *answer) error {
	text := a.metadata["result.json"]
	if p.format == "json" {
		fmt.Fprintln(e.Out, string(text))
		return status(a)
	}
	var print func([]byte, io.Writer) error
	switch p.request {
	case "frontend.outline":
		print = outline.PrintOutline
	case "frontend.targets":
		print = targets.PrintTargets
	case "frontend.subrequests.describe":
		print = subrequests.PrintDescribe
	case "frontend.lint":
		return o.printLint(e, p, a)
	}
	if len(text) == 0 {
		_, err := e.Out.Write(a.metadata["result.txt"])
		return err
	}
	if err := print(text, e.Out); err != nil {
		return fmt.Errorf("print the answer to --call: %w", err)
	}
	return status(a)
}

func status(a *answer) error {
	if n, err := strconv.Atoi(string(a.metadata["result.statuscode"])); err == nil && n != 0 {
		return &env.Status{Code: n}
	}
	return nil
}

func (o *options) printLint(e *env.Env, p *plan, a *answer) error {
	var results lint.LintResults
	if err := json.Unmarshal(a.metadata["result.json"], &results); err != nil {
		return fmt.Errorf("read the answer to --check: %w", err)
	}
	for _, w := range results.Warnings {
		place := p.dockerfile
		if w.Location != nil && len(w.Location.Ranges) > 0 {
			place = p.place(int(w.Location.Ranges[0].Start.Line), 1)
		}
		fmt.Fprintf(e.Out, "%s: %s: %s\n", place, w.RuleName, w.Detail)
		if w.URL != "" {
			fmt.Fprintf(e.Out, "  %s (%s)\n", w.Description, w.URL)
		}
	}
	if results.Error != nil {
		return &env.Status{Code: 1, Err: fmt.Errorf("%s", results.Error.Message)}
	}
	switch n := len(results.Warnings); n {
	case 0:
		fmt.Fprintln(e.Out, "Check complete, no warnings found.")
	case 1:
		fmt.Fprintln(e.Out, "Check complete, 1 warning has been found!")
	default:
		fmt.Fprintf(e.Out, "Check complete, %d warnings have been found!\n", n)
	}
	return status(a)
}

// place is line and column of the Dockerfile.
func (p *plan) place(line, column int) string {
	name := p.dockerfile
	if name == "" {
		name = "Dockerfile"
	}
	return fmt.Sprintf("%s:%d:%d", name, line, column)
}

// lineOf is what the frontend adds for clients that don't show lines.
var lineOf = regexp.MustCompile(` \(line \d+\)$`)

// printWarnings are those of the Dockerfile's checks, which every build makes.
func (o *options) printWarnings(e *env.Env, p *plan, warnings []client.VertexWarning) {
	seen := map[string]bool{}
	for _, w := range warnings {
		line := 0
		if len(w.Range) > 0 {
			line = int(w.Range[0].Start.Line)
		}
		text := fmt.Sprintf("%s: warning: %s", p.place(line, column(w.SourceInfo, line, string(w.Short))), lineOf.ReplaceAllString(string(w.Short), ""))
		if !seen[text] {
			fmt.Fprintln(e.Err, text)
		}
		seen[text] = true
	}
}

// column finds what a message quotes in the line that it is about.
func column(source *pb.SourceInfo, line int, message string) int {
	if source == nil {
		return 1
	}
	lines := strings.Split(string(source.Data), "\n")
	if line < 1 || line > len(lines) {
		return 1
	}
	text := lines[line-1]
	for _, word := range quoted(message) {
		if i := strings.Index(text, word); i >= 0 {
			return i + 1
		}
	}
	return len(text) - len(strings.TrimLeft(text, " \t")) + 1
}

// quoted are the words of a message that are in quotes, and the last word.
func quoted(message string) []string {
	var words []string
	for _, q := range []string{`"`, "'", "`"} {
		parts := strings.Split(message, q)
		for i := 1; i < len(parts)-1; i += 2 {
			if w := strings.TrimPrefix(parts[i], "/"); w != "" {
				words = append(words, w)
			}
		}
	}
	if _, last, ok := strings.Cut(message, "unknown instruction: "); ok {
		last, _, _ = strings.Cut(last, " ")
		words = append(words, last)
	}
	return words
}

// writeMetadata writes what the exporters answered, as buildx does.
func (o *options) writeMetadata(a *answer) error {
	if o.metadataFile == "" {
		return nil
	}
	all := map[string]any{}
	for key, value := range a.exporter {
		all[key] = value
		if b, err := base64.StdEncoding.DecodeString(value); err == nil && json.Valid(b) && len(b) > 0 && (b[0] == '{' || b[0] == '[') {
			all[key] = json.RawMessage(b)
		}
	}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("write --metadata-file: %w", err)
	}
	if err := atomicfile.Write(o.metadataFile, append(b, '\n'), os.FileMode(0o644)); err != nil {
		return fmt.Errorf("write --metadata-file: %w", err)
	}
	return nil
}
