package caps

import (
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	got, unknown := Parse([]string{"CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE", "chown"})
	if got != 1<<0|1<<21|1<<40 || !reflect.DeepEqual(unknown, []string{"chown"}) {
		t.Errorf("%x, %q", got, unknown)
	}
}
