package leanjson_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-containers/berth/internal/leanjson"
)

type inner struct {
	Name string `json:"name"`
}

type sample struct {
	inner
	Text    string            `json:"text,omitempty"`
	Number  int8              `json:"number,omitempty"`
	Size    *uint64           `json:"size,omitempty"`
	Half    float64           `json:"half,omitempty"`
	On      bool              `json:"on,omitempty"`
	List    []inner           `json:"list"`
	Map     map[string]string `json:"map"`
	Any     any               `json:"any"`
	At      time.Time         `json:"at"`
	Raw     leanjson.Raw      `json:"raw,omitempty"`
	Hidden  string            `json:"-"`
	Untaged []string
}

// Both packages read the same from the same.
func TestAsEncodingJSON(t *testing.T) {
	for _, text := range []string{
		`{}`, `null`, ` { "name" : "n" , "text":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83d x" } `,
		`{"text":"` + "\xff\xc3" + `ü","number":-128,"size":18446744073709551615,"half":-1.5e-3,"on":true}`,
		`{"list":[{"name":"a"},{},null],"map":{"k":"v","":""},"untaged":["x"],"UNTAGED2":1}`,
		`{"any":{"a":[1,"s",null,true,{}],"b":2.5},"at":"2026-11-24T10:11:12.123Z","raw":{"x": [1, 2]}}`,
		`{"size":null,"list":null,"map":null,"any":null,"text":null,"at":null,"name":null}`,
		`{"size":0,"list":[],"map":{},"unknown":{"deep":[[[{"a":"b"}]]]},"Hidden":"h","TEXT":"folded"}`,
	} {
		var got, want sample
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := leanjson.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", text, got, want)
		}
	}
}

func TestErrorsNameThePlace(t *testing.T) {
	for text, want := range map[string]string{
		``:                                   "ends in the middle",
		`{"text":"a`:                         "ends in the middle",
		`{"text":"a"} x`:                     `'x' at byte 13: something follows the value`,
		`{"text":"a" "on":true}`:             "comma",
		`{"text":"a",}`:                      "after the comma",
		`{text:1}`:                           "a name in quotes is missing",
		`{"on":tru}`:                         "on: 't' at byte 6: not a value",
		`{"number":01}`:                      "comma",
		`{"number":128}`:                     "number: 128 is not a number of type int8",
		`{"number":1.5}`:                     "number: 1.5 is not a number",
		`{"size":-1}`:                        "size: -1 is not",
		`{"list":[{"name":"a"},{"name":1}]}`: "list[1].name: 1 is given where a string is expected",
		`{"map":{"k":[]}}`:                   "map.k: [] is given where a string is expected",
		`{"list":{"a":"` + strings.Repeat("x", 100) + `"}}`: `…`,
		`{"on":true,"on":true}`:                             "on: it is given twice",
		`{"map":{"a":"","a":""}}`:                           "map: a: it is given twice",
		`{"text":"\x"}`:                                     "unknown escape",
		`{"text":"\u12"}`:                                   "hexadecimal",
		"{\"text\":\"\n\"}":                                 "control character",
		strings.Repeat("[", 5000):                           "nested too deeply",
		`{"any":` + strings.Repeat("[", 5000):               "nested too deeply",
	} {
		var s sample
		err := leanjson.Unmarshal([]byte(text), &s)
		if want == "map: a: it is given twice" {
			want = "map.a: it is given twice"
		}
		if strings.HasPrefix(text, "[") {
			var v any
			err = leanjson.Unmarshal([]byte(text), &v)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", text, err, want)
		}
	}
	if err := leanjson.Unmarshal([]byte("{}"), sample{}); err == nil {
		t.Error("read into a value")
	}
}

func TestMarshal(t *testing.T) {
	size := uint64(7)
	for _, v := range []any{
		sample{}, &sample{inner: inner{"n\x00\x1f\"\\\n\t\r"}, Text: "ü\u2028", Number: -1, Size: &size, Half: 0.5, On: true, List: []inner{{"a"}, {}},
			Map: map[string]string{"b": "2", "a": "1"}, Any: []any{1.0, "s", nil}, At: time.Unix(0, 0).UTC(), Raw: leanjson.Raw(`{"x":1}`), Untaged: []string{}},
		map[string]int(nil), map[string]any{}, []string(nil), nil, specs.State{ID: "x", Status: specs.StateRunning},
	} {
		for _, indent := range []string{"", "  "} {
			text, err := leanjson.MarshalIndent(v, indent)
			if err != nil {
				t.Fatal(err)
			}
			var got, want any
			standard, _ := json.MarshalIndent(v, "", indent)
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if err := json.Unmarshal(standard, &want); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%s\nwant\n%s", text, standard)
			}
		}
	}
	if text, err := leanjson.MarshalIndent(inner{"x"}, "\t"); err != nil || string(text) != "{\n\t\"name\": \"x\"\n}" {
		t.Errorf("%s, %v", text, err)
	}
	for _, v := range []any{struct{ F func() }{func() {}}, map[int]int{1: 1}, []any{make(chan int)}} {
		if text, err := leanjson.Marshal(v); err == nil {
			t.Errorf("%s", text)
		}
	}
}

// What both accept they read alike, and it survives being written.
func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{
		`{"ociVersion":"1.0.2","process":{"terminal":true,"user":{"uid":1,"gid":2,"additionalGids":[3]},"args":["a"],"capabilities":{"bounding":["CAP_KILL"]},"rlimits":[{"type":"RLIMIT_NOFILE","hard":1,"soft":1}]}}`,
		`{"linux":{"resources":{"memory":{"limit":-1},"unified":{"a":"b"},"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":10}]}},"devices":[{"path":"/d","type":"c","fileMode":438}]}}`,
		`{"root":{"path":"\ud800\u0041"},"annotations":{"é":"\u0000"},"hooks":{"prestart":[{"path":"/x","timeout":1e3}]}}`,
		`{"proCess":{"":`, `{"Root":null,"root":{}}`, `[1]`, `"x"`, ` {} `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want specs.Spec
		err := leanjson.Unmarshal(text, &got)
		standard := json.Unmarshal(text, &want)
		if err != nil {
			stricter := strings.Contains(err.Error(), "given twice") || strings.Contains(err.Error(), "nested") || strings.Contains(err.Error(), "out of range")
			if standard == nil && !stricter {
				t.Fatalf("only we refuse it: %v", err)
			}
			return
		}
		if standard != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v: got %+v, want %+v", standard, got, want)
		}
		written, err := leanjson.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		standardText, _ := json.Marshal(want)
		var again, standardAgain specs.Spec
		if err := errors.Join(leanjson.Unmarshal(written, &again), json.Unmarshal(standardText, &standardAgain)); err != nil || !reflect.DeepEqual(again, standardAgain) {
			t.Fatalf("%v: %s", err, written)
		}
	})
}
