package dockercli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// elsewhere are the commands that other tests or nobody has use for: swarm,
// plugins, trust and building.
var elsewhere = strings.Fields("swarm plugin trust buildx builder build node secret service stack config compose scan image/build container/build")

// alias are commands of old and the ones that they are.
var alias = func() map[string]string {
	m := map[string]string{"ps": "container ls", "images": "image ls", "rmi": "image rm", "info": "system info", "events": "system events", "inspect": "inspect"}
	for _, verb := range strings.Fields("attach commit cp create diff exec export kill logs pause port rename restart rm run start stats stop top unpause update wait") {
		m[verb] = "container " + verb
	}
	for _, verb := range strings.Fields("history import load pull push save tag") {
		m[verb] = "image " + verb
	}
	return m
}()

// TestEachFlag: the scripts have every command of the CLI and every flag, in one
// or the other of a command's names.
func TestEachFlag(t *testing.T) {
	used := usedFlags(t)
	walkCommands(t, nil, func(path, flags []string) {
		name := strings.Join(path, " ")
		if used[name] == nil {
			t.Errorf("no script has docker %s", name)
		}
		canonical := canon(name)
		for _, flag := range flags {
			// What run takes, create takes as well.
			twin := strings.NewReplacer("container run", "container create", "container create", "container run").Replace(canonical)
			if !used[canonical][flag] && !used[name][flag] && !(twin != canonical && used[twin][flag]) {
				t.Errorf("no script has docker %s --%s", name, flag)
			}
		}
	})
}

func canon(name string) string {
	if other, ok := alias[name]; ok {
		return other
	}
	return name
}

var (
	invocation = regexp.MustCompile(`\bdocker ([a-z][^\n|;&)]*)`)
	flagWord   = regexp.MustCompile(`(?:^|[ =])--([a-z][a-z0-9-]*)`)
	groups     = strings.Fields("container image network volume system context manifest checkpoint")
)

// usedFlags are the commands of the scripts, each with its flags, also by the
// command's other name.
func usedFlags(t *testing.T) map[string]map[string]bool {
	t.Helper()
	used := map[string]map[string]bool{}
	files, err := filepath.Glob("testdata/*.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range invocation.FindAllStringSubmatch(string(text), -1) {
			words := strings.Fields(m[1])
			name := words[0]
			if len(words) > 1 && slices.Contains(groups, name) {
				name += " " + words[1]
			}
			for _, n := range []string{name, canon(name)} {
				if used[n] == nil {
					used[n] = map[string]bool{}
				}
				for _, f := range flagWord.FindAllStringSubmatch(m[1], -1) {
					used[n][f[1]] = true
				}
			}
		}
	}
	return used
}

var (
	commandLine = regexp.MustCompile(`^  ([a-z][a-z-]*)\*?\s`)
	flagLine    = regexp.MustCompile(`^\s+(?:-\w, )?\s*--([a-z][a-z0-9-]*)`)
	section     = regexp.MustCompile(`^\S`)
)

// walkCommands yields the commands that the installed CLI says it has.
func walkCommands(t *testing.T, path []string, yield func(path, flags []string)) {
	t.Helper()
	out, err := exec.Command("docker", append(slices.Clone(path), "--help")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var commands, flags []string
	in := ""
	for line := range strings.Lines(string(out)) {
		switch {
		case section.MatchString(line):
			in = strings.TrimSpace(line)
		case strings.HasSuffix(in, "Commands:"):
			if m := commandLine.FindStringSubmatch(line); m != nil {
				commands = append(commands, m[1])
			}
		case in == "Options:":
			if m := flagLine.FindStringSubmatch(line); m != nil {
				flags = append(flags, m[1])
			}
		}
	}
	if len(commands) == 0 {
		yield(path, flags)
		return
	}
	for _, c := range commands {
		next := append(slices.Clone(path), c)
		if !slices.Contains(elsewhere, strings.Join(next, "/")) {
			walkCommands(t, next, yield)
		}
	}
}
