package images

import (
	"fmt"
	"strings"
	"testing"
)

func TestParsePlace(t *testing.T) {
	for text, want := range map[string]string{
		"docker://host:5000/a/b:1":      "registry   host:5000/a/b:1",
		"berth:a:1":                     "store   a:1",
		"docker-daemon:a@sha256:x":      "store   a@sha256:x",
		"docker-archive:/x/y.tar":       "archive /x/y.tar  ",
		"oci-archive:-":                 "archive -  ",
		"docker-archive:y.tar:host/a:1": "archive y.tar  host/a:1",
		"oci:/x/y:tag":                  "archive /x/y dir tag",
		"a:1":                           `"a:1" does not say where it is`,
		"oci:":                          "names nothing",
		"oci-archive::x":                "names nothing",
		"docker://":                     "names nothing",
		"dir:/x":                        "does not say where it is",
	} {
		p, err := parsePlace(text)
		dir := ""
		if p.dir {
			dir = "dir"
		}
		got := fmt.Sprint(p.kind, " ", p.path, " ", dir, " ", p.ref)
		if err != nil {
			got = err.Error()
		}
		if got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestParseRemote(t *testing.T) {
	for text, want := range map[string]string{
		"ssh://host":            "ssh host berth image receive",
		"ssh://me@host:22/":     "ssh -p 22 me@host berth image receive",
		"ssh://host/run/b.sock": "ssh host berth -H unix://'/run/b.sock' image receive",
		"ssh://host/a%27;b":     `ssh host berth -H unix://'/a'\'';b' image receive`,
		"ssh://[fe80::1]:22":    "ssh -p 22 fe80::1 berth image receive",
		"ssh://-x":              "names no host",
		"ssh://-x@host":         "names no host",
		"ssh:///x":              "names no host",
		"ssh://a:b@host":        "no password",
		"ssh://host?x":          "has more than",
		"ssh://host:x":          "invalid port",
	} {
		r, err := parseRemote(text, func(string) string { return "" })
		got := strings.Join(r.args, " ")
		if err != nil {
			got = err.Error()
		}
		if got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	r, err := parseRemote("ssh://host", func(string) string { return "my-ssh -v" })
	if err != nil || strings.Join(r.args[:3], " ") != "my-ssh -v host" {
		t.Error(r, err)
	}
}
