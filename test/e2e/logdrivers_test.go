package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What each log driver shows, and that the path of json-file is Docker's file.
func TestLogDrivers(t *testing.T) {
	e := engine(t)
	for _, row := range []struct {
		args, shown string
		file        bool
	}{
		{"", `json-file {}`, false},
		{"--log-opt max-size=1m", `json-file {"max-size":"1m"}`, false},
		{"--log-driver json-file --log-opt labels=a --log-opt tag={{.Name}}", `json-file {"labels":"a","tag":"{{.Name}}"}`, true},
		{"--log-driver local --log-opt compress=true", `local {"compress":"true"}`, false},
		{"--log-driver ring", `ring {}`, false},
	} {
		args := append([]string{"run", "--name", "c1", "-l", "a=b"}, strings.Fields(row.args)...)
		e.OK(append(args, "busybox", "sh", "-c", "echo out; echo err >&2")...)
		if got := e.OK("inspect", "-f", "{{.HostConfig.LogConfig.Type}} {{json .HostConfig.LogConfig.Config}}", "c1"); got != row.shown {
			t.Errorf("%s: %s", row.args, got)
		}
		if r := e.Docker("logs", "c1"); r.Out != "out\n" || r.Err != "err\n" {
			t.Errorf("%s: %+v", row.args, r)
		}
		path := e.OK("inspect", "-f", "{{.LogPath}}", "c1")
		if row.file != (path != "") {
			t.Errorf("%s: the path is %q", row.args, path)
		}
		if row.file {
			text, err := os.ReadFile(path)
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			var first struct {
				Log, Stream, Time string
				Attrs             map[string]string
			}
			if err != nil || len(lines) != 2 || json.Unmarshal([]byte(lines[0]), &first) != nil || first.Attrs["a"] != "b" || first.Attrs["tag"] != "c1" ||
				!strings.HasSuffix(filepath.Base(path), "-json.log") {
				t.Errorf("%s: %s %v", path, text, err)
			}
			if got := e.Docker("logs", "--details", "c1").Out; got != "a=b,tag=c1 out\n" {
				t.Errorf("details: %s", got)
			}
		}
		e.OK("rm", "c1")
	}
	for driver, want := range map[string]string{"syslog": "no log driver named 'syslog' is registered", "none": ""} {
		r := e.Berth("run", "--name", "c1", "--log-driver", driver, "busybox", "echo", "out")
		if want != "" && (r.Code != 125 || !strings.Contains(r.Err, want)) || want == "" && r.Out != "out\n" {
			t.Errorf("%s: %+v", driver, r)
		}
	}
	if r := e.Docker("logs", "c1"); r.Code == 0 || !strings.Contains(r.Err, "configured logging driver does not support reading") {
		t.Errorf("logs of none: %+v", r)
	}
	if got := e.OK("info", "-f", "{{.LoggingDriver}} {{.Plugins.Log}}"); got != "json-file [json-file local none ring]" {
		t.Errorf("info: %s", got)
	}
	e.OK("rm", "c1")
}
