package build

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-containers/berth/test/harness"
)

// A builder builds an image in a context and writes it as an archive.
type builder func(t *testing.T, context string, args []string, archive string) error

// run is a command that tells its output in its error.
func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// tag is an image name that no two builds share.
func tag(t *testing.T) string {
	return "case/" + strings.ToLower(strings.NewReplacer("/", ".", "_", "-").Replace(t.Name())) + ":1"
}

// buildah builds in a store of its own.
func buildah(t *testing.T, p *place) builder {
	t.Helper()
	root := filepath.Join(p.dir, "buildah")
	base := []string{"--root", root, "--runroot", root + "-run", "--storage-driver", "overlay"}
	command := func(dir string, args ...string) *exec.Cmd {
		cmd := exec.Command("buildah", append(base[:len(base):len(base)], args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+p.dir, "TMPDIR="+p.dir)
		return cmd
	}
	policy := filepath.Join(p.dir, "policy.json")
	if err := os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(command(p.dir, "pull", "--signature-policy", policy, "oci-archive:"+p.base)); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T, context string, args []string, archive string) error {
		all := append([]string{"build", "--signature-policy", policy, "--isolation", "chroot", "--network", "host", "--format", "docker", "-t", tag(t)}, args...)
		if err := run(command(context, append(all, ".")...)); err != nil {
			return err
		}
		return run(command(context, "push", "-q", "--signature-policy", policy, tag(t), "docker-archive:"+archive))
	}
}

// ofEngine builds by a command that leaves the image in the engine.
func ofEngine(e *harness.Engine, env string, command ...string) builder {
	return func(t *testing.T, context string, args []string, archive string) error {
		words := append(append(command[1:len(command):len(command)], "-t", tag(t)), args...)
		cmd := e.Command(command[0], append(words, ".")...)
		cmd.Dir = context
		cmd.Env = append(cmd.Env, env)
		if err := run(cmd); err != nil {
			return err
		}
		return run(e.Command("docker", "save", "-o", archive, tag(t)))
	}
}

func gunzip(t *testing.T, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func zip(t *testing.T, b []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}
