package flat

import (
	"encoding/json"
	"testing"
)

func TestForget(t *testing.T) {
	const in = `{"config":{"Healthcheck":{"Test":["CMD"]}},"history":[{"created_by":"base"},{"created_by":"env","empty_layer":true},{"created_by":"a"},{"created_by":"b"},{"created_by":"cmd","empty_layer":true}]}`
	tests := map[string]struct {
		base int
		want string
	}{
		"above the base": {2, `{"config":{"Healthcheck":{"Test":["CMD"]}},"history":[{"created_by":"base"},{"created_by":"env","empty_layer":true},{"created_by":"a","empty_layer":true},{"created_by":"b"},{"created_by":"cmd","empty_layer":true}]}`},
		"all":            {0, `{"config":{"Healthcheck":{"Test":["CMD"]}},"history":[{"created_by":"base","empty_layer":true},{"created_by":"env","empty_layer":true},{"created_by":"a","empty_layer":true},{"created_by":"b"},{"created_by":"cmd","empty_layer":true}]}`},
	}
	for name, tt := range tests {
		got, err := forget([]byte(in), tt.base)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, tt.want)
		}
	}
	if _, err := forget([]byte("x"), 0); err == nil {
		t.Error("a configuration that is none was read")
	}
}

func FuzzForget(f *testing.F) {
	f.Add([]byte(`{"history":[{},{"empty_layer":true}]}`), 1)
	f.Fuzz(func(t *testing.T, config []byte, base int) {
		got, err := forget(config, max(base, 0))
		if err == nil && !json.Valid(got) {
			t.Errorf("%s", got)
		}
	})
}
