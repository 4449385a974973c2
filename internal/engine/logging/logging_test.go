package logging

import (
	"fmt"
	"testing"

	api "github.com/moby/moby/api/types/container"
)

func TestChoose(t *testing.T) {
	size := map[string]string{"max-size": "1m"}
	for _, row := range []struct {
		engine Default
		asked  api.LogConfig
		want   string
	}{
		{Default{}, api.LogConfig{}, "json-file map[] ring"},
		{Default{}, api.LogConfig{Config: size}, "json-file map[max-size:1m] ring"},
		{Default{}, api.LogConfig{Config: map[string]string{"tag": "x"}}, "json-file map[tag:x] "},
		{Default{Opts: size}, api.LogConfig{}, "json-file map[max-size:1m] ring"},
		{Default{Opts: size}, api.LogConfig{Type: "json-file"}, "json-file map[] "},
		{Default{}, api.LogConfig{Type: "json-file"}, "json-file map[] "},
		{Default{}, api.LogConfig{Type: "ring"}, "ring map[] "},
		{Default{Driver: "json-file", Opts: size}, api.LogConfig{}, "json-file map[max-size:1m] "},
		{Default{Driver: "json-file", Opts: size}, api.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "2m"}}, "json-file map[max-size:2m] "},
		{Default{Driver: "local", Opts: size}, api.LogConfig{Type: "none"}, "none map[] "},
	} {
		shown, driver := row.engine.Choose(row.asked)
		if got := fmt.Sprint(shown.Type, " ", shown.Config, " ", driver); got != row.want {
			t.Errorf("%+v: %s, want %s", row, got, row.want)
		}
	}
	for _, bad := range []api.LogConfig{{Type: "journald"}, {Type: "json-file", Config: map[string]string{"tag": "{{.X}}"}}, {Type: "ring", Config: map[string]string{"tag": "x"}}} {
		if Check(bad) == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}
