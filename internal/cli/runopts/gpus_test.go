package runopts

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseGPUs(t *testing.T) {
	for in, want := range map[string]string{
		"all":          `{"Driver":"","Count":-1,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}`,
		"2":            `{"Driver":"","Count":2,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}`,
		"driver=amd":   `{"Driver":"amd","Count":1,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}`,
		`"device=0,1"`: `{"Driver":"","Count":0,"DeviceIDs":["0","1"],"Capabilities":[["gpu"]],"Options":{}}`,
		`count=3,"capabilities=utility,video","options=a=b"`: `{"Driver":"","Count":3,"DeviceIDs":null,"Capabilities":[["utility","video","gpu"]],"Options":{"a":"b"}}`,
		"some":       "value must be either",
		"1,2":        "only once",
		"speed=9":    "unexpected key 'speed'",
		"":           "write all",
		`"options=\`: "write all",
	} {
		r, err := parseGPUs(in)
		got, jsonErr := json.Marshal(r)
		if jsonErr != nil {
			t.Fatal(jsonErr)
		}
		if err != nil {
			got = []byte(err.Error())
		}
		if string(got) != want && (err == nil || !strings.Contains(string(got), want)) {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	for name, want := range map[string]bool{"acme.com/thing=0": true, "/dev/x": false, "/dev/x:/dev/y": false, "/dev/a=b": false, "a/b/c=d": false, "a/b=": false, "a=b": false, "c:/d=e": false} {
		if isCDI(name) != want {
			t.Error(name)
		}
	}
}

func TestIDMapOfMount(t *testing.T) {
	for in, want := range map[string]string{
		"type=bind,src=/a,dst=/b,bind-idmap": "match-user", "type=bind,src=/a,dst=/b,bind-idmap=match-user:app": "match-user:app",
		"bind-idmap=userns,type=bind,src=/a,dst=/b": "userns", "type=bind,src=/a,dst=/b": "",
	} {
		if _, err := ParseMount(in); err != nil || mountIDMap(in) != want {
			t.Errorf("%s: %q, %v", in, mountIDMap(in), err)
		}
	}
	for _, in := range []string{"type=bind,src=/a,dst=/b,bind-idmap=swap", "type=bind,src=/a,dst=/b,bind-idmap=match-user:", "type=volume,src=aa,dst=/b,bind-idmap"} {
		if _, err := ParseMount(in); err == nil {
			t.Error(in)
		}
	}
}

func FuzzParseGPUs(f *testing.F) {
	f.Add("all")
	f.Add(`"device=0,1",capabilities=gpu`)
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = parseGPUs(s)
		_ = mountIDMap(s)
	})
}
