// Command testcontainers drives the ordinary cases of testcontainers-go's users
// against the engine of DOCKER_HOST, with its reaper. The container it leaves is
// the reaper's to remove.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	for _, c := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"web server", webServer}, {"waits", waits}, {"files", files}, {"networks", networks}, {"left to the reaper", left},
	} {
		if err := c.run(ctx); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", c.name, err)
			os.Exit(1)
		}
		fmt.Println("ok", c.name)
	}
}

func webServer(ctx context.Context) (err error) {
	c, err := testcontainers.Run(ctx, "busybox", testcontainers.WithCmd("httpd", "-f", "-h", "/www"),
		testcontainers.WithExposedPorts("80/tcp"), testcontainers.WithWaitStrategy(wait.ForHTTP("/").WithPort("80/tcp")))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end(c)) }()
	endpoint, err := c.PortEndpoint(ctx, "80/tcp", "http")
	if err != nil {
		return err
	}
	answer, err := http.Get(endpoint)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return expect(answer.Body, "hello from a container\n")
}

func waits(ctx context.Context) (err error) {
	c, err := testcontainers.Run(ctx, "busybox",
		testcontainers.WithCmd("sh", "-c", "echo ready; touch /tmp/up; exec httpd -f -p 7"), testcontainers.WithExposedPorts("7/tcp"),
		testcontainers.WithEnv(map[string]string{"X": "1"}), testcontainers.WithTmpfs(map[string]string{"/scratch": "rw"}),
		testcontainers.WithWaitStrategy(wait.ForLog("ready"), wait.ForListeningPort("7/tcp"), wait.ForExec([]string{"test", "-e", "/tmp/up"})))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end(c)) }()
	code, out, err := c.Exec(ctx, []string{"sh", "-c", "echo $X; exit 4"}, exec.Multiplexed())
	if err != nil {
		return err
	}
	if code != 4 {
		return fmt.Errorf("exec: exit code %d", code)
	}
	if err := expect(out, "1\n"); err != nil {
		return err
	}
	logs, err := c.Logs(ctx)
	if err != nil {
		return err
	}
	defer logs.Close()
	if err := expect(logs, "ready\n"); err != nil {
		return err
	}
	state, err := c.State(ctx)
	if err != nil || !state.Running {
		return fmt.Errorf("state: %+v, %v", state, err)
	}
	stop := time.Second
	return errors.Join(c.Stop(ctx, &stop), c.Start(ctx))
}

func files(ctx context.Context) (err error) {
	c, err := testcontainers.Run(ctx, "busybox", testcontainers.WithCmd("sleep", "1000"),
		testcontainers.WithFiles(testcontainers.ContainerFile{Reader: strings.NewReader("before"), ContainerFilePath: "/before", FileMode: 0o644}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end(c)) }()
	if err := c.CopyToContainer(ctx, []byte("after"), "/after", 0o600); err != nil {
		return err
	}
	for _, name := range []string{"before", "after"} {
		r, err := c.CopyFileFromContainer(ctx, "/"+name)
		if err != nil {
			return err
		}
		if err := errors.Join(expect(r, name), r.Close()); err != nil {
			return err
		}
	}
	return nil
}

func networks(ctx context.Context) (err error) {
	n, err := network.New(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Remove(ctx)) }()
	server, err := testcontainers.Run(ctx, "busybox", testcontainers.WithCmd("httpd", "-f", "-h", "/www"), network.WithNetwork([]string{"server"}, n))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end(server)) }()
	client, err := testcontainers.Run(ctx, "busybox", testcontainers.WithCmd("wget", "-qO-", "http://server/"),
		network.WithNetwork([]string{"client"}, n), testcontainers.WithWaitStrategy(wait.ForExit()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end(client)) }()
	logs, err := client.Logs(ctx)
	if err != nil {
		return err
	}
	defer logs.Close()
	return expect(logs, "hello from a container\n")
}

func left(ctx context.Context) error {
	_, err := testcontainers.Run(ctx, "busybox", testcontainers.WithCmd("sleep", "1000"), testcontainers.WithName("left"))
	return err
}

// end does not wait for a first process that knows no SIGTERM.
func end(c testcontainers.Container) error {
	return testcontainers.TerminateContainer(c, testcontainers.StopTimeout(0))
}

func expect(r io.Reader, want string) error {
	got, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(got, []byte(want)) {
		err = fmt.Errorf("got %q; want %q", got, want)
	}
	return err
}
