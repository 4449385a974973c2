package attributes

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestOf(t *testing.T) {
	o := Origin{ID: strings.Repeat("ab", 32), Name: "web", ImageID: "sha256:" + strings.Repeat("cd", 32), ImageName: "busybox", Command: "sh -c x",
		Labels: map[string]string{"app": "shop", "tier": "front", "other": "1"}, Env: []string{"A=1", "AB=2", "C"}}
	for _, row := range []struct{ option, value, want string }{
		{"labels", "app,none,tier", "app=shop,tier=front"},
		{"labels-regex", "^t|^o", "other=1,tier=front"},
		{"env", "A,C", "A=1"},
		{"env-regex", "^A", "A=1,AB=2"},
		{"tag", "{{.Name}}/{{ .ID }}", "tag=web%2Fabababababab"},
		{"tag", "plain", "tag=plain"},
		{"tag", "{{.ImageID}} {{.Command}}", "tag=cdcdcdcdcdcd+sh+-c+x"},
		{"max-size", "1m", ""},
		{"tag", "{{.Nonsense}}", "!.Nonsense"},
		{"tag", "{{.ID", "!{{.ID"},
		{"env-regex", "(", "!env-regex"},
	} {
		attrs, err := Of(map[string]string{row.option: row.value}, o)
		if refusal, ok := strings.CutPrefix(row.want, "!"); ok {
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), refusal) {
				t.Errorf("%s=%s: %v", row.option, row.value, err)
			}
			continue
		}
		if got := Text(attrs); err != nil || got != row.want {
			t.Errorf("%s=%s: %s %v, want %s", row.option, row.value, got, err, row.want)
		}
	}
}
