package images

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/format"
	"github.com/berth-containers/berth/internal/image/report"
)

type mountRow struct{ Image, ID, Dir string }

// MountCommand is `image mount`.
func MountCommand(e *env.Env) *cobra.Command {
	var layout string
	cmd := &cobra.Command{
		Use: "mount [OPTIONS] [IMAGE [DIRECTORY]]", Short: "Show the files of an image at a directory, read-only; without IMAGE list what is mounted", Args: env.Between(0, 2),
		Long: "Show the files of an image at an empty directory of the engine's machine, or at a new one, which is printed. It stays until `berth image unmount`, also if the image goes or the engine ends.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listMounts(cmd, e, layout)
			}
			query := url.Values{}
			if len(args) == 2 {
				dir, err := filepath.Abs(args[1])
				if err != nil {
					return err
				}
				query.Set("dir", dir)
			}
			var m report.Mounted
			if err := e.Client.Post(cmd.Context(), "/berth/images/"+client.Ref(args[0])+"/mount", query, nil, &m); err != nil {
				return err
			}
			fmt.Fprintln(e.Out, m.Dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&layout, "format", "", format.Usage)
	return cmd
}

func listMounts(cmd *cobra.Command, e *env.Env, layout string) error {
	var mounted []report.Mounted
	if err := e.Client.Get(cmd.Context(), "/berth/images/mounts", nil, &mounted); err != nil {
		return err
	}
	var rows []mountRow
	for _, m := range mounted {
		rows = append(rows, mountRow{m.Image, format.ShortID(m.ID), m.Dir})
	}
	return format.Rows(e.Out, layout, "table {{.Image}}\t{{.ID}}\t{{.Dir}}", format.Headers{"Image": "IMAGE", "ID": "IMAGE ID", "Dir": "DIRECTORY"}, rows)
}

// UnmountCommand is `image unmount`.
func UnmountCommand(e *env.Env) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "unmount [OPTIONS] DIRECTORY|IMAGE...", Aliases: []string{"umount"}, Short: "End what `image mount` began", Args: env.AtLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.Each(args, func(arg string) error {
				query := url.Values{"which": {arg}}
				if strings.HasPrefix(arg, ".") {
					dir, err := filepath.Abs(arg)
					if err != nil {
						return err
					}
					query.Set("which", dir)
				}
				if force {
					query.Set("force", "1")
				}
				return e.Client.Delete(cmd.Context(), "/berth/images/mounts", query, nil)
			})
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Also if somebody works in it")
	return cmd
}

// VerifyCommand is `image verify`.
func VerifyCommand(e *env.Env) *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use: "verify [OPTIONS] [IMAGE...]", Short: "Read images again and compare everything with its digest",
		Long: "Read images, or all of them, again and compare everything with its digest: manifests, configurations, packed layers, what these unpack to, " +
			"and the unpacked layers file by file. The exit code is 1 if something is wrong.",
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, err := e.Client.Stream(cmd.Context(), http.MethodGet, "/berth/images/verify", url.Values{"names": args}, nil)
			if err != nil {
				return err
			}
			defer answer.Close()
			var wrong, all int
			err = each(answer, func(v report.Verified) error {
				all++
				if len(v.Problems) > 0 {
					wrong++
				}
				return tellVerified(e, v, quiet)
			})
			if err == nil && wrong > 0 {
				err = &env.Status{Code: 1, Err: fmt.Errorf("%d of %d images are damaged", wrong, all)}
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "Tell only what is wrong")
	return cmd
}

func tellVerified(e *env.Env, v report.Verified, quiet bool) error {
	if len(v.Problems) == 0 {
		if quiet {
			return nil
		}
		_, err := fmt.Fprintf(e.Out, "%s: right (%d blobs, %s; %d unpacked layers)\n", v.Image, v.Blobs, size(v.Bytes), v.Layers)
		return err
	}
	var failed []error
	step := ""
	for _, p := range v.Problems {
		if step != "" && step != p.Step {
			fmt.Fprintf(e.Out, "  %s\n", step)
		}
		step = p.Step
		_, err := fmt.Fprintf(e.Out, "%s: %s %s: %s\n", v.Image, p.What, p.ID, p.Text)
		failed = append(failed, err)
	}
	_, err := fmt.Fprintf(e.Out, "  %s\n", step)
	return errors.Join(append(failed, err)...)
}
