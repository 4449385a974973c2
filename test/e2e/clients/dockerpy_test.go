package clients

import (
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// docker-py's ordinary cases; the script passes with Debian's dockerd as well.
func TestDockerPy(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	out, err := e.Command("/usr/bin/python3", "testdata/dockerpy.py").CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
