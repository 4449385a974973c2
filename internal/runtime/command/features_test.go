package command_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// The keys are those of the specification's type, each with something in it; the
// values are as its schema wants them.
func TestFeatures(t *testing.T) {
	b := newBundle(t, "true")
	var got map[string]any
	if err := json.Unmarshal([]byte(b.must("features")), &got); err != nil {
		t.Fatal(err)
	}
	// Annotations are free, and none changes what the runtime does.
	compareKeys(t, "", reflect.TypeFor[features.Features](), got, "annotations", "potentiallyUnsafeConfigAnnotations")
	linux := got["linux"].(map[string]any)
	seccomp := linux["seccomp"].(map[string]any)
	for _, list := range []struct {
		of      map[string]any
		key     string
		pattern string
		some    []string
	}{
		{got, "hooks", "^[a-zA-Z]+$", []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}},
		{got, "mountOptions", "^[a-z]+$", []string{"ro", "rro", "idmap", "ridmap", "tmpcopyup", "rslave"}},
		{linux, "namespaces", "^[a-z]+$", []string{"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}},
		{linux, "capabilities", "^CAP_[A-Z_]+$", []string{"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"}},
		{seccomp, "actions", "^SCMP_ACT_[A-Z_]+$", []string{"SCMP_ACT_NOTIFY", "SCMP_ACT_KILL_PROCESS"}},
		{seccomp, "operators", "^SCMP_CMP_[A-Z_]+$", []string{"SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"}},
		{seccomp, "archs", "^SCMP_ARCH_[A-Z0-9_]+$", []string{"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"}},
		{seccomp, "knownFlags", "^SECCOMP_FILTER_FLAG_[A-Z_]+$", []string{"SECCOMP_FILTER_FLAG_LOG"}},
		{seccomp, "supportedFlags", "^SECCOMP_FILTER_FLAG_[A-Z_]+$", []string{"SECCOMP_FILTER_FLAG_LOG"}},
		{linux["memoryPolicy"].(map[string]any), "modes", "^MPOL_[A-Z_]+$", []string{"MPOL_BIND"}},
		{linux["memoryPolicy"].(map[string]any), "flags", "^MPOL_F_[A-Z_]+$", []string{"MPOL_F_STATIC_NODES"}},
	} {
		var values []string
		for _, v := range list.of[list.key].([]any) {
			values = append(values, v.(string))
			if !regexp.MustCompile(list.pattern).MatchString(v.(string)) {
				t.Errorf("%s: %q", list.key, v)
			}
		}
		for _, want := range list.some {
			if !slices.Contains(values, want) {
				t.Errorf("%s lacks %s: %q", list.key, want, values)
			}
		}
	}
}

func compareKeys(t *testing.T, path string, want reflect.Type, got map[string]any, free ...string) {
	t.Helper()
	for field := range want.Fields() {
		key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		value, ok := got[key]
		if slices.Contains(free, key) {
			continue
		}
		if !ok || value == false {
			t.Errorf("%s.%s is %v", path, key, value)
		}
		if kind := field.Type; ok && kind.Kind() == reflect.Pointer && kind.Elem().Kind() == reflect.Struct {
			compareKeys(t, path+"."+key, kind.Elem(), value.(map[string]any))
		}
	}
}
