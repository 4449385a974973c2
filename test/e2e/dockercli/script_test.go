package dockercli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// base gives each script the image that it begins with.
const base = `docker image inspect busybox >/dev/null 2>&1 || docker import --change 'CMD ["sh"]' box.tar busybox:latest`

const differencesFile = "testdata/differences.txt"

func TestScripts(t *testing.T) {
	_, ours, theirs := both(t)
	known := readDifferences(t)
	scripts, err := filepath.Glob("testdata/*.sh")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range scripts {
		name := strings.TrimSuffix(filepath.Base(file), ".sh")
		t.Run(name, func(t *testing.T) { compareScript(t, ours, theirs, name, readScript(t, file), known[name]) })
	}
	for name := range known {
		if _, err := os.Stat(filepath.Join("testdata", name+".sh")); err != nil {
			t.Errorf("%s speaks of the script %s, which is not there", differencesFile, name)
		}
	}
}

// compareScript plays a script to both at once and compares what they did.
func compareScript(t *testing.T, ours, theirs player, name string, lines []string, known map[string]string) {
	t.Helper()
	played := [2][]outcome{}
	var both sync.WaitGroup
	for i, p := range []player{ours, theirs} {
		both.Go(func() {
			p.play(base)
			for _, line := range lines {
				played[i] = append(played[i], p.play(strings.TrimPrefix(line, "? ")))
			}
		})
	}
	both.Wait()
	// Another version of the CLI may say things otherwise.
	exact := cliVersion(t) == known["version"]
	seen := map[string]bool{"version": true}
	for i, line := range lines {
		a, b := played[0][i], played[1][i]
		if strings.HasPrefix(line, "? ") {
			a.out, a.err, b.out, b.err = "", "", "", ""
		}
		_, expected := known[line]
		seen[line] = true
		switch {
		case a != b && !expected:
			t.Errorf("%s: %s\n%s", name, line, difference(played[0][i], played[1][i]))
		case a == b && expected && exact:
			t.Errorf("%s: %s: no longer differs; take it off %s", name, line, differencesFile)
		case testing.Verbose():
			t.Logf("as known: %s\n%d %q %q\n%s", line, a.code, a.out, a.err, difference(a, b))
		}
	}
	for line := range known {
		if !seen[line] {
			t.Errorf("%s speaks of a line that %s.sh has not: %s", differencesFile, name, line)
		}
	}
}

func difference(ours, theirs outcome) string {
	var b strings.Builder
	for _, row := range []struct{ name, ours, theirs string }{
		{"exit code", fmt.Sprint(ours.code), fmt.Sprint(theirs.code)}, {"output", ours.out, theirs.out}, {"errors", ours.err, theirs.err},
	} {
		if row.ours != row.theirs {
			fmt.Fprintf(&b, "  %s here:   %q\n  %s docker: %q\n", row.name, row.ours, row.name, row.theirs)
		}
	}
	return b.String()
}

// readScript returns the lines that are commands.
func readScript(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// readDifferences reads "[script]", then for each of its lines that differ the
// line and, indented below it, why. "version" is the CLI's that was listed with.
func readDifferences(t *testing.T) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile(differencesFile)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]map[string]string{}
	var script, line, version string
	for l := range strings.Lines(string(text)) {
		trimmed := strings.TrimSpace(l)
		switch {
		case trimmed == "" || strings.HasPrefix(trimmed, "# "):
		case strings.HasPrefix(trimmed, "docker CLI "):
			version = strings.TrimPrefix(trimmed, "docker CLI ")
		case strings.HasPrefix(l, "["):
			script = strings.Trim(trimmed, "[]")
			known[script] = map[string]string{"version": version}
		case strings.HasPrefix(l, "\t"):
			known[script][line] = trimmed
		default:
			line = trimmed
			known[script][line] = ""
		}
	}
	for script, lines := range known {
		for line, why := range lines {
			if why == "" {
				t.Errorf("%s: [%s] %s: no reason", differencesFile, script, line)
			}
		}
	}
	return known
}

func cliVersion(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("docker", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(strings.ReplaceAll(string(out), ",", " "))
	return words[2]
}
