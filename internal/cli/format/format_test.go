package format

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

type testRow struct {
	ID, Names string
	labels    map[string]string
}

func (r testRow) Label(name string) string { return r.labels[name] }

func TestRows(t *testing.T) {
	rows := []testRow{{"1", "long name", map[string]string{"a": "b"}}, {"2", "x", nil}}
	headers := Headers{"ID": "CONTAINER ID", "Names": "NAMES"}
	for layout, want := range map[string]string{
		"":                                 "CONTAINER ID   NAMES\n1              long name\n2              x\n",
		"table":                            "CONTAINER ID   NAMES\n1              long name\n2              x\n",
		`table {{.Names}}\t{{.Label "a"}}`: "NAMES       a\nlong name   b\nx           \n",
		"{{.ID}}:{{upper .Names}}":         "1:LONG NAME\n2:X\n",
		"json":                             "{\"ID\":\"1\",\"Names\":\"long name\"}\n{\"ID\":\"2\",\"Names\":\"x\"}\n",
		`{{.ID}}\n`:                        "1\n\n2\n\n",
	} {
		var b bytes.Buffer
		if err := Rows(&b, layout, "table {{.ID}}\t{{.Names}}", headers, rows); err != nil || b.String() != want {
			t.Errorf("%s: %q %v; want %q", layout, b.String(), err, want)
		}
	}
	for _, bad := range []string{"{{.ID", "{{.Nope}}", "table {{.Nope}}", "{{nope}}"} {
		if err := Rows(&bytes.Buffer{}, bad, "", headers, rows); err == nil || !strings.Contains(err.Error(), "template parsing error") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestInspect(t *testing.T) {
	type typed struct{ ID string }
	raw := json.RawMessage(`{"Id":"x","N":12345678901,"NetworkSettings":{"Networks":{"bridge":{"IPAddress":"10.0.0.2"}}}}`)
	objects := []Inspected{{Raw: raw, Typed: typed{"x"}}}
	for layout, want := range map[string]string{
		"{{.ID}}":                        "x\n",
		"{{.Id}}":                        "x\n",
		"{{.N}}":                         "12345678901\n",
		"{{.NetworkSettings.IPAddress}}": "10.0.0.2\n",
		"{{json .N}}":                    "12345678901\n",
	} {
		var b bytes.Buffer
		if err := Inspect(&b, layout, objects); err != nil || b.String() != want {
			t.Errorf("%s: %q %v", layout, b.String(), err)
		}
	}
	if err := Inspect(&bytes.Buffer{}, "{{.Nope}}", objects); err == nil {
		t.Error("an unknown key was printed")
	}
	var b bytes.Buffer
	if err := Inspect(&b, "", objects[:0]); err != nil || b.String() != "[]\n" {
		t.Errorf("nothing: %q %v", b.String(), err)
	}
	b.Reset()
	if err := Inspect(&b, "", objects); err != nil || !strings.HasPrefix(b.String(), "[\n    {\n        \"Id\": \"x\"") {
		t.Errorf("indented: %q %v", b.String(), err)
	}
}

func TestTimestamp(t *testing.T) {
	for in, want := range map[string]string{"1700000000": "1700000000", "1700000000.5": "1700000000.5", "2023-11-14T22:13:20Z": "1700000000.000000000"} {
		if got, err := Timestamp(in); err != nil || got != want {
			t.Errorf("%s: %s %v", in, got, err)
		}
	}
	if _, err := Timestamp("42m"); err != nil {
		t.Error(err)
	}
	if _, err := Timestamp("when"); err == nil {
		t.Error("when")
	}
}

func FuzzTimestamp(f *testing.F) {
	f.Add("42m")
	f.Add("2023-11-14T22:13:20Z")
	f.Fuzz(func(_ *testing.T, s string) { _, _ = Timestamp(s) })
}
