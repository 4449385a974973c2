// Package format prints rows the way `--format` asks for: a table with column
// headers, a Go template for each row, or JSON.
package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"text/template"
)

// Headers name the columns of a table by the rows' fields.
type Headers map[string]string

// Label is the header of one label's column.
func (Headers) Label(name string) string { return name }

// Rows prints rows in the given format; byDefault is a "table …" template.
func Rows[T any](w io.Writer, format, byDefault string, headers Headers, rows []T) error {
	if format == "" || format == "table" {
		format = byDefault
	}
	if format == "json" {
		format = "{{json .}}"
	}
	text, table := strings.CutPrefix(strings.TrimSpace(format), "table ")
	t, err := Parse(text)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if table {
		if err := t.Execute(&b, headers); err != nil {
			return fmt.Errorf("template parsing error: %w", err)
		}
		b.WriteByte('\n')
	}
	for _, row := range rows {
		if err := t.Execute(&b, row); err != nil {
			return fmt.Errorf("template parsing error: %w", err)
		}
		b.WriteByte('\n')
	}
	if !table {
		_, err = w.Write(b.Bytes())
		return err
	}
	aligned := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
	if _, err := aligned.Write(b.Bytes()); err != nil {
		return err
	}
	return aligned.Flush()
}

// Parse reads a template as users write it: \t and \n may come unescaped by a
// shell.
func Parse(text string) (*template.Template, error) {
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(text)
	t, err := template.New("").Option("missingkey=error").Funcs(functions()).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("template parsing error: %w", err)
	}
	return t, nil
}

func functions() template.FuncMap {
	return template.FuncMap{
		"json":  toJSON,
		"split": strings.Split,
		"join":  strings.Join,
		"lower": strings.ToLower,
		"upper": strings.ToUpper,
		"title": func(s string) string {
			if s == "" {
				return s
			}
			return strings.ToUpper(s[:1]) + s[1:]
		},
		"pad": func(s string, before, after int) string {
			if s == "" {
				return s
			}
			return strings.Repeat(" ", max(before, 0)) + s + strings.Repeat(" ", max(after, 0))
		},
		"truncate": func(s string, n int) string {
			if r := []rune(s); n >= 0 && len(r) > n {
				return string(r[:n])
			}
			return s
		},
	}
}

func toJSON(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// Object prints one value by a template or, if format is "json", as JSON.
func Object(w io.Writer, format string, v any) error {
	if format == "json" {
		format = "{{json .}}"
	}
	return Rows(w, format, "", nil, []any{v})
}

// Ellipsis shortens s to at most width runes.
func Ellipsis(s string, width int) string {
	r := []rune(s)
	if len(r) <= width || width < 1 {
		return s
	}
	return string(r[:width-1]) + "…"
}

// ShortID is the first 12 digits of an ID, without its algorithm.
func ShortID(id string) string {
	if _, hex, ok := strings.Cut(id, ":"); ok {
		id = hex
	}
	return id[:min(12, len(id))]
}

// Pairs prints a map as "a=b,c=d" in order.
func Pairs(m map[string]string) string {
	list := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, k+"="+m[k])
	}
	return strings.Join(list, ",")
}

// Table aligns cells.
func Table(w io.Writer, rows [][]string) error {
	aligned := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
	for _, r := range rows {
		if _, err := fmt.Fprintln(aligned, strings.Join(r, "\t")); err != nil {
			return err
		}
	}
	return aligned.Flush()
}
