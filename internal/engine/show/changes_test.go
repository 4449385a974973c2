package show

import (
	"fmt"
	"strings"
	"testing"

	api "github.com/moby/moby/api/types/container"
)

func TestChanges(t *testing.T) {
	kinds := map[string]api.ChangeType{"C": api.ChangeModify, "A": api.ChangeAdd, "D": api.ChangeDelete}
	for in, want := range map[string]string{
		"": "",
		"A:/dev C:/etc A:/etc/hostname A:/etc/hosts A:/proc C:/tmp A:/tmp/x": "C:/tmp A:/tmp/x",
		"A:/dev A:/dev/mine C:/etc A:/etc/hosts A:/etc/mine":                 "A:/dev A:/dev/mine C:/etc A:/etc/mine",
		"A:/etc A:/etc/hosts":            "",
		"C:/etc D:/etc/hosts":            "C:/etc D:/etc/hosts",
		"C:/etc C:/etc/hosts":            "C:/etc C:/etc/hosts",
		"C:/var C:/var/lib A:/var/lib/x": "C:/var C:/var/lib A:/var/lib/x",
	} {
		var list []api.FilesystemChange
		for _, word := range strings.Fields(in) {
			kind, path, _ := strings.Cut(word, ":")
			list = append(list, api.FilesystemChange{Kind: kinds[kind], Path: path})
		}
		var got []string
		for _, c := range Changes(list) {
			got = append(got, fmt.Sprintf("%s:%s", c.Kind, c.Path))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", in, got, want)
		}
	}
}
