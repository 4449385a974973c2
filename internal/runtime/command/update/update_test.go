package update

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-containers/berth/internal/leanjson"
)

func TestResources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	if err := os.WriteFile(file, []byte(`{"pids":{"limit":5}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"":             `{}`,
		"--memory 64m": `{"memory":{"limit":67108864}}`,
		"--memory -1":  `{"memory":{"limit":-1}}`,
		"--memory-swap 1GiB --memory-reservation 5":                              `{"memory":{"reservation":5,"swap":1073741824}}`,
		"--cpu-quota -1 --cpu-period 5 --cpu-share 6 --cpu-burst 7 --cpu-idle 1": `{"cpu":{"shares":6,"quota":-1,"burst":7,"period":5,"idle":1}}`,
		"--cpu-rt-period 1 --cpu-rt-runtime 2 --cpuset-cpus 0-1 --cpuset-mems 0": `{"cpu":{"realtimeRuntime":2,"realtimePeriod":1,"cpus":"0-1","mems":"0"}}`,
		"--pids-limit 0 --blkio-weight 10":                                       `{"pids":{"limit":0},"blockIO":{"weight":10}}`,
		"--resources " + file + " --memory 5":                                    `{"pids":{"limit":5}}`,
		"-r -":                                                                   `{"pids":{"limit":6}}`,
		"--memory x":                                                             "--memory",
		"--memory 9000000p":                                                      "a size in bytes",
		"--memory 5x":                                                            "a size in bytes",
		"--blkio-weight 70000":                                                   "out of range",
		"--cpu-share -5":                                                         "not a whole number",
		"--cpu-quota 1.5":                                                        "not a whole number",
		"-r /nonexistent":                                                        "read --resources",
	} {
		flags := flag.NewFlagSet("update", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		f := New(flags)
		err := flags.Parse(strings.Fields(args))
		got := ""
		if err == nil {
			r, e := f.Resources(strings.NewReader(`{"pids":{"limit":6}}`))
			if err = e; err == nil {
				b, e := leanjson.Marshal(r)
				got, err = string(b), e
			}
		}
		if err != nil {
			got = err.Error()
			if strings.HasPrefix(want, "{") || !strings.Contains(got, strings.TrimPrefix(want, "-")) {
				t.Errorf("%s: %v", args, err)
			}
			continue
		}
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", args, got, want)
		}
	}
}
