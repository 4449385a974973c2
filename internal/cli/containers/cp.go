package containers

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/go-archive"
	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/terminal"
)

// copying is one `cp`.
type copying struct {
	cmd         *cobra.Command
	env         *env.Env
	container   string
	followLinks bool
	ownUser     bool
	quiet       bool
}

// CopyCommand is `cp`.
func CopyCommand(e *env.Env) *cobra.Command {
	c := copying{env: e}
	cmd := &cobra.Command{
		Use:   "cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n  berth cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
		Short: "Copy files/folders between a container and the local filesystem", Args: env.Exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.cmd = cmd
			if !cmd.Flags().Changed("quiet") {
				c.quiet = terminal.Of(e.Err) == nil
			}
			return c.run(args[0], args[1])
		},
	}
	cmd.Flags().BoolVarP(&c.followLinks, "follow-link", "L", false, "Always follow symbol link in SRC_PATH")
	cmd.Flags().BoolVarP(&c.ownUser, "archive", "a", false, "Archive mode (copy all uid/gid information)")
	cmd.Flags().BoolVarP(&c.quiet, "quiet", "q", false, "Suppress progress output during copy")
	return cmd
}

func (c *copying) run(source, destination string) error {
	from, sourcePath := splitPlace(source)
	to, destinationPath := splitPlace(destination)
	switch {
	case from != "" && to != "":
		return errors.New("copying between containers is not supported: copy to a local path first")
	case from == "" && to == "":
		return errors.New("one of the paths must be CONTAINER:PATH")
	case sourcePath == "" || destinationPath == "":
		return errors.New("a path is empty")
	case from != "":
		c.container = from
		return c.fromContainer(sourcePath, destinationPath)
	}
	c.container = to
	return c.toContainer(sourcePath, destinationPath)
}

// splitPlace takes CONTAINER:PATH apart. What begins with a slash or a dot is a
// local path, also with a colon in it.
func splitPlace(arg string) (ctr, path string) {
	name, path, found := strings.Cut(arg, ":")
	if !found || strings.HasPrefix(arg, "/") || strings.HasPrefix(name, ".") {
		return "", arg
	}
	return name, path
}

func local(path string) (string, error) {
	abs, err := filepath.Abs(path)
	return archive.PreserveTrailingDotOrSeparator(abs, path), err
}

func (c *copying) endpoint() string { return "/containers/" + client.Ref(c.container) + "/archive" }

// stat is what is at a path of the container.
func (c *copying) stat(path string) (container.PathStat, error) {
	header, err := c.env.Client.Head(c.cmd.Context(), c.endpoint(), url.Values{"path": {path}})
	if err != nil {
		return container.PathStat{}, err
	}
	return statOf(header)
}

func statOf(h http.Header) (s container.PathStat, err error) {
	text, err := base64.StdEncoding.DecodeString(h.Get("X-Docker-Container-Path-Stat"))
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return s, fmt.Errorf("read what the engine says of the path: %w", err)
	}
	return s, nil
}

// target is where a link of the container leads.
func target(path string, s container.PathStat) string {
	if filepath.IsAbs(s.LinkTarget) {
		return s.LinkTarget
	}
	dir, _ := archive.SplitPathDirEntry(path)
	return filepath.Join(dir, s.LinkTarget)
}

func (c *copying) fromContainer(source, destination string) (err error) {
	if destination != "-" {
		if destination, err = local(destination); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Dir(strings.TrimRight(destination, "/"))); err != nil {
			return fmt.Errorf("the folder to copy to: %w", err)
		}
	}
	rebase := ""
	if c.followLinks {
		if s, err := c.stat(source); err == nil && s.Mode&os.ModeSymlink != 0 {
			source, rebase = archive.GetRebaseName(source, target(source, s))
		}
	}
	body, header, err := c.env.Client.Download(c.cmd.Context(), c.endpoint(), url.Values{"path": {source}})
	if err != nil {
		return err
	}
	defer body.Close()
	if destination == "-" {
		_, err = io.Copy(c.env.Out, body)
		return err
	}
	s, err := statOf(header)
	if err != nil {
		return err
	}
	counted := &counter{Reader: body}
	var content io.Reader = counted
	if rebase != "" {
		_, base := archive.SplitPathDirEntry(source)
		renamed := archive.RebaseArchiveEntries(content, base, rebase)
		defer renamed.Close()
		content = renamed
	}
	info := archive.CopyInfo{Path: source, Exists: true, IsDir: s.Mode.IsDir(), RebaseName: rebase}
	if err := archive.CopyTo(content, info, destination); err != nil {
		return err
	}
	c.told(counted.n, destination)
	return nil
}

func (c *copying) toContainer(source, destination string) error {
	there := archive.CopyInfo{Path: destination}
	s, err := c.stat(destination)
	if err == nil && s.Mode&os.ModeSymlink != 0 {
		there.Path = target(destination, s)
		s, err = c.stat(there.Path)
	}
	switch {
	case err == nil && !s.Mode.IsDir() && !s.Mode.IsRegular():
		return fmt.Errorf("destination \"%s:%s\" must be a directory or a regular file", c.container, destination)
	case err == nil:
		there.Exists, there.IsDir = true, s.Mode.IsDir()
	case !client.IsStatus(err, http.StatusNotFound):
		return err
	}
	if source == "-" {
		if !there.IsDir {
			return fmt.Errorf("destination \"%s:%s\" must be a directory", c.container, destination)
		}
		return c.upload(there.Path, c.env.In)
	}
	if source, err = local(source); err != nil {
		return err
	}
	info, err := archive.CopyInfoSourcePath(source, c.followLinks)
	if err != nil {
		return err
	}
	packed, err := archive.TarResource(info)
	if err != nil {
		return err
	}
	defer packed.Close()
	dir, prepared, err := archive.PrepareArchiveCopy(packed, info, there)
	if err != nil {
		return err
	}
	defer prepared.Close()
	counted := &counter{Reader: prepared}
	if err := c.upload(dir, counted); err != nil {
		return err
	}
	c.told(counted.n, c.container+":"+there.Path)
	return nil
}

func (c *copying) upload(dir string, body io.Reader) error {
	query := url.Values{"path": {dir}, "noOverwriteDirNonDir": {"true"}}
	if c.ownUser {
		query.Set("copyUIDGID", "true")
	}
	return c.env.Client.Put(c.cmd.Context(), c.endpoint(), query, body)
}

func (c *copying) told(n int64, to string) {
	if !c.quiet {
		fmt.Fprintf(c.env.Err, "Successfully copied %s to %s\n", units.HumanSizeWithPrecision(float64(n), 3), to)
	}
}

// counter counts what was read.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}
