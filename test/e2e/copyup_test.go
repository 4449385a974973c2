package e2e

import (
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// An empty volume gets what the image has at its destination, once.
func TestVolumeIsFilled(t *testing.T) {
	e := engine(t)
	e.OK("run", "--name", "maker", "busybox", "sh", "-c", `mkdir -p /data/deep /real && echo image > /data/deep/file && ln -s deep/file /data/link && ln /data/deep/file /data/hard &&
		chown -R 7:8 /data && chmod 1750 /data && echo linked > /real/file && ln -s /real /alias && echo plain > /plain`)
	e.OK("commit", "maker", "filled:1")
	e.OK("rm", "maker")
	const look = "cat /data/deep/file /data/link /data/hard; stat -c '%a %u %g' /data /data/deep"
	const whole = "image\nimage\nimage\n1750 7 8\n755 7 8"
	each(t, e, func(t *testing.T, client func(...string) harness.Result) {
		sees := func(want string, args ...string) {
			t.Helper()
			r := client(append([]string{"run", "--rm"}, args...)...)
			if got := strings.TrimSpace(r.Out); r.Code != 0 || got != want {
				t.Errorf("%v: %+v\nwant %s", args, r, want)
			}
		}
		sees(whole, "-v", "named:/data", "filled:1", "sh", "-c", look)
		sees(whole, "-v", "/data", "filled:1", "sh", "-c", look)
		sees("linked", "-v", "/alias", "filled:1", "cat", "/alias/file")
		sees("0", "-v", "none:/data:nocopy", "filled:1", "sh", "-c", "ls /data | wc -l")
		sees("0", "--mount", "type=volume,src=none,dst=/data,volume-nocopy", "filled:1", "sh", "-c", "ls /data | wc -l")
		sees("0", "-v", "fresh:/elsewhere", "filled:1", "sh", "-c", "ls /elsewhere | wc -l")
		sees("0", "-v", "fresh:/plainer", "filled:1", "sh", "-c", "ls /plainer | wc -l")
		// What is there is not touched.
		sees("mine", "-v", "named:/data", "filled:1", "sh", "-c", "rm -r /data/*; echo mine > /data/own; cat /data/own")
		sees("own", "-v", "named:/data", "filled:1", "ls", "/data")
		e.OK("volume", "rm", "named", "none", "fresh")
	})
}
