package images

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/outfile"
	"github.com/berth-containers/berth/internal/cli/progress"
	"github.com/berth-containers/berth/internal/cli/terminal"
)

// LoadCommand is `load`.
func LoadCommand(e *env.Env) *cobra.Command {
	var input string
	var quiet bool
	var platform []string
	cmd := &cobra.Command{
		Use: "load [OPTIONS]", Short: "Load an image from a tar archive or STDIN", Args: env.Exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := e.In
			if input != "" {
				f, err := os.Open(input)
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			} else if terminal.Of(e.In) != nil {
				return errors.New("requested load from stdin, but stdin is empty: name a file by --input or redirect one")
			}
			query := url.Values{"quiet": {"0"}}
			if quiet || terminal.Of(e.Out) == nil {
				query.Set("quiet", "1")
			}
			if len(platform) > 0 {
				query["platform"] = platform
			}
			if !quiet {
				in = sending(e, in)
			}
			answer, err := e.Client.Upload(cmd.Context(), "/images/load", query, in)
			if err != nil {
				return err
			}
			defer answer.Close()
			return progress.Show(e.Out, answer, nil)
		},
	}
	cmd.Flags().StringVarP(&input, "input", "i", "", "Read from tar archive `file`, instead of STDIN")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "Suppress the load output")
	cmd.Flags().StringSliceVar(&platform, "platform", nil, "Load only the given platform(s)")
	return cmd
}

// sending shows on a terminal how the bytes of in go.
func sending(e *env.Env, in io.Reader) io.Reader {
	var total int64
	if f, ok := in.(*os.File); ok {
		total = sizeOf(f)
	}
	if in == http.NoBody {
		return in
	}
	return progress.Reader(e.Err, "Sending", total, in)
}

// SaveCommand is `save`.
func SaveCommand(e *env.Env) *cobra.Command {
	var output string
	var platform []string
	cmd := &cobra.Command{
		Use: "save [OPTIONS] IMAGE [IMAGE...]", Short: "Save one or more images to a tar archive (streamed to STDOUT by default)",
		Args: env.AtLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" && terminal.Of(e.Out) != nil {
				return errors.New("cowardly refusing to save to a terminal: use the -o flag or redirect")
			}
			query := url.Values{"names": args}
			if len(platform) > 0 {
				query["platform"] = platform
			}
			answer, err := e.Client.Stream(cmd.Context(), http.MethodGet, "/images/get", query, nil)
			if err != nil {
				return err
			}
			defer answer.Close()
			if output == "" {
				_, err = io.Copy(e.Out, answer)
				return err
			}
			return outfile.Write(output, answer)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "Write to a `file`, instead of STDOUT")
	cmd.Flags().StringSliceVar(&platform, "platform", nil, "Save only the given platform(s)")
	return cmd
}

// ImportCommand is `import`.
func ImportCommand(e *env.Env) *cobra.Command {
	var change []string
	var message, platform string
	cmd := &cobra.Command{
		Use:   "import [OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
		Short: "Import the contents from a tarball to create a filesystem image", Args: env.Between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{"fromSrc": {"-"}, "changes": change}
			if message != "" {
				query.Set("message", message)
			}
			if platform != "" {
				query.Set("platform", platform)
			}
			if len(args) == 2 {
				query.Set("repo", args[1])
			}
			in := e.In
			switch src := args[0]; {
			case src == "-":
			case strings.HasPrefix(src, "http://") || strings.HasPrefix(src, "https://"):
				query.Set("fromSrc", src)
				in = http.NoBody
			default:
				f, err := os.Open(src)
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			answer, err := e.Client.Upload(cmd.Context(), "/images/create", query, sending(e, in))
			if err != nil {
				return err
			}
			defer answer.Close()
			return progress.Show(e.Out, answer, nil)
		},
	}
	cmd.Flags().StringArrayVarP(&change, "change", "c", nil, "Apply Dockerfile instruction to the created image")
	cmd.Flags().StringVarP(&message, "message", "m", "", "Set commit message for imported image")
	cmd.Flags().StringVar(&platform, "platform", "", "Set platform of the image")
	return cmd
}
