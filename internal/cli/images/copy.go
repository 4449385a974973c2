package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/moby/moby/api/types/registry"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/layout"
	"github.com/berth-containers/berth/internal/cli/name"
	"github.com/berth-containers/berth/internal/cli/outfile"
	"github.com/berth-containers/berth/internal/cli/progress"
	"github.com/berth-containers/berth/internal/cli/terminal"
)

// place is where an image is or goes, in skopeo's words.
type place struct {
	kind string // registry, store, archive: what the engine is told
	path string // of an archive ("-": standard stream) or layout
	dir  bool   // it is a layout
	ref  string
}

// kinds of transports. Those of other engines' stores mean this engine's.
var kinds = [...]struct{ prefix, kind string }{
	{"docker://", "registry"}, {"berth:", "store"}, {"docker-daemon:", "store"}, {"containers-storage:", "store"},
	{"docker-archive:", "archive"}, {"oci-archive:", "archive"}, {"oci:", "layout"},
}

const transports = "docker://NAME (registry), berth:NAME (this engine), docker-archive:FILE[:NAME], oci-archive:FILE[:NAME], oci:DIRECTORY[:NAME]"

func parsePlace(text string) (place, error) {
	for _, k := range kinds {
		rest, ok := strings.CutPrefix(text, k.prefix)
		if !ok {
			continue
		}
		p := place{kind: k.kind, ref: rest}
		if k.kind == "archive" || k.kind == "layout" {
			p.path, p.ref, _ = strings.Cut(rest, ":")
			p.kind, p.dir = "archive", k.kind == "layout"
			rest = p.path
		}
		if rest == "" {
			return place{}, fmt.Errorf("%q names nothing; it is one of %s", text, transports)
		}
		return p, nil
	}
	return place{}, fmt.Errorf("%q does not say where it is; it is one of %s", text, transports)
}

// CopyCommand is `image copy`.
func CopyCommand(e *env.Env) *cobra.Command {
	var platform string
	var quiet bool
	cmd := &cobra.Command{
		Use: "copy [OPTIONS] SOURCE DESTINATION", Short: "Copy an image between registries, this engine, archives and OCI layouts", Args: env.Exactly(2),
		Long: "Copy an image as it is, with all digests, between any two of " + transports + ". What passes through stays nowhere else. " +
			"Between registries all platforms are copied unless --platform names one.",
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := parsePlace(args[0])
			if err != nil {
				return err
			}
			to, err := parsePlace(args[1])
			if err != nil {
				return err
			}
			return copyImage(cmd.Context(), e, from, to, platform, quiet)
		},
	}
	cmd.Flags().StringVar(&platform, "platform", "", "Copy the image for this platform")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "Print only the digest")
	return cmd
}

func copyImage(ctx context.Context, e *env.Env, from, to place, platform string, quiet bool) error {
	query := url.Values{"from": {from.kind}, "to": {to.kind}, "fromRef": {from.ref}, "toRef": {to.ref}}
	if platform != "" {
		query.Set("platform", platform)
	}
	if from.dir {
		query.Set("fromRef", "") // the one that is sent
	}
	if to.dir {
		query.Set("toRef", "") // a layout's names are not an engine's
	}
	header := http.Header{}
	for _, p := range []struct {
		place
		header string
	}{{from, "X-Berth-Source-Auth"}, {to, registry.AuthHeader}} {
		if p.kind != "registry" {
			continue
		}
		known, err := credentials(ctx, e, name.Split(p.ref).Registry())
		if err != nil {
			return err
		}
		for _, value := range known {
			header[http.CanonicalHeaderKey(p.header)] = value
		}
	}
	body, closeBody, err := from.reader(e, quiet)
	if err != nil {
		return err
	}
	defer closeBody()
	answer, err := e.Client.Send(ctx, "/berth/images/copy", query, header, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if to.kind == "archive" {
		return to.write(e, answer)
	}
	return showCopied(e, answer, quiet)
}

func showCopied(e *env.Env, answer io.Reader, quiet bool) error {
	out := e.Out
	if quiet {
		out = io.Discard
	}
	var copied struct{ Digest string }
	err := progress.Show(out, answer, func(aux json.RawMessage) { _ = json.Unmarshal(aux, &copied) })
	if err == nil {
		_, err = fmt.Fprintln(e.Out, copied.Digest)
	}
	return err
}

// reader is what the engine is sent of a source.
func (p place) reader(e *env.Env, quiet bool) (io.Reader, func(), error) {
	show := func(r io.Reader, total int64) io.Reader {
		if quiet {
			return r
		}
		return progress.Reader(e.Err, "Sending", total, r)
	}
	switch {
	case p.kind != "archive":
		return http.NoBody, func() {}, nil
	case p.dir:
		r, w := io.Pipe()
		go func() { w.CloseWithError(layout.Pack(p.path, p.ref, w)) }()
		return show(r, 0), func() { r.Close() }, nil
	case p.path == "-":
		return show(e.In, 0), func() {}, nil
	}
	f, err := os.Open(p.path)
	if err != nil {
		return nil, nil, err
	}
	return show(f, sizeOf(f)), func() { f.Close() }, nil
}

// sizeOf is 0 if it is no plain file.
func sizeOf(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

// write makes a destination of the engine's archive.
func (p place) write(e *env.Env, answer io.Reader) error {
	switch {
	case p.dir:
		digest, err := layout.Unpack(p.path, p.ref, answer)
		if err == nil {
			_, err = fmt.Fprintln(e.Out, digest)
		}
		return err
	case p.path == "-" && terminal.Of(e.Out) != nil:
		return errors.New("cowardly refusing to write an archive to a terminal: name a file")
	case p.path == "-":
		_, err := io.Copy(e.Out, answer)
		return err
	}
	return outfile.Write(p.path, answer)
}

// SearchCommand is `search`.
func SearchCommand(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "search TERM", Short: "Search the engine's default registry for images", Args: env.Exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var found []registry.SearchResult
			if err := e.Client.Get(cmd.Context(), "/images/search", url.Values{"term": {args[0]}}, &found); err != nil {
				return err
			}
			for _, f := range found {
				fmt.Fprintf(e.Out, "%s\t%s\n", f.Name, f.Description)
			}
			return nil
		},
	}
}

// raw prints what images are made of, byte for byte.
func raw(ctx context.Context, e *env.Env, refs []string, of string) error {
	for _, ref := range refs {
		answer, err := e.Client.Stream(ctx, http.MethodGet, "/berth/images/"+client.Ref(ref)+"/raw", url.Values{"of": {of}}, nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(e.Out, answer)
		if err = errors.Join(err, answer.Close()); err != nil {
			return err
		}
	}
	return nil
}

// InspectCommand is `image inspect`, that of Docker with --raw added.
func InspectCommand(e *env.Env, docker *cobra.Command) *cobra.Command {
	var of string
	run := docker.RunE
	docker.RunE = func(cmd *cobra.Command, args []string) error {
		if of != "" {
			return raw(cmd.Context(), e, args, of)
		}
		return run(cmd, args)
	}
	docker.Flags().StringVar(&of, "raw", "", "Print the `target` (manifest or index), manifest or config byte for byte")
	docker.Flags().Lookup("raw").NoOptDefVal = "target"
	return docker
}
