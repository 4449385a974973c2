package clients

import (
	"os"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// The ordinary cases of testcontainers-go. Its reaper finds the engine by the
// socket that is mounted into it, and removes what its client has left.
func TestTestcontainers(t *testing.T) {
	e := harness.New(t)
	e.Busybox()
	reaper, err := os.ReadFile(harness.Bin(t, "reaper"))
	if err != nil {
		t.Fatal(err)
	}
	image(t, e, "testcontainers/ryuk:0.14.0", nil, map[string]string{"bin/reaper": string(reaper)}, `CMD ["reaper"]`, "EXPOSE 8080")
	cmd := e.Command(harness.Bin(t, "testcontainers"))
	cmd.Env = append(cmd.Env, "RYUK_RECONNECTION_TIMEOUT=1s")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("%v\n%s", err, e.DockerOK("ps", "-a"))
	}
	harness.Eventually(t, "what was left is reaped", func() bool { return e.DockerOK("ps", "-aq") == "" })
}
