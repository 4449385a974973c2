package dockercli

import (
	"regexp"
	"strings"
)

// replacements make equal what is different with every run.
var replacements = []struct {
	pattern *regexp.Regexp
	with    string
}{
	// Where nobody answers, and what else may be asked for, Berth says more.
	{regexp.MustCompile(`(?:Head|Get) "[^"]*": dial tcp[^\n]*`), "UNREACHABLE"},
	{regexp.MustCompile(`[Ii]nvalid filter '(\w+)'(: use [^\n]*)?`), "invalid filter '$1'"},
	// Docker itself has changed capitals from version to version.
	{regexp.MustCompile(`daemon: [A-Za-z]`), "daemon: *"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "ID"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "ID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| ?[+-]\d\d:?\d\d)?( UTC)?`), "TIME"},
	{regexp.MustCompile(`(Less than a second|About an? \w+|\d+ (seconds?|minutes?|hours?|days?|weeks?|months?|years?))( ago)?`), "AGE"},
	{regexp.MustCompile(`\b172\.\d+\.\d+\.\d+`), "ADDRESS"},
	{regexp.MustCompile(`\b02:42(:[0-9a-f]{2}){4}\b`), "MAC"},
	{regexp.MustCompile(`\b(32|49)\d{3}\b`), "PORT"},
	{regexp.MustCompile(`[ \t]+`), " "},
	{regexp.MustCompile(` +\n`), "\n"},
}

// normal is a text without what differs by chance.
func (p player) normal(text string) string {
	text = strings.ReplaceAll(text, p.home, "HOME")
	text = strings.ReplaceAll(text, p.socket, "SOCKET")
	for _, r := range replacements {
		text = r.pattern.ReplaceAllString(text, r.with)
	}
	return text
}
