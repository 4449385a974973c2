package images

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/image"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/disk"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/format"
	"github.com/berth-containers/berth/internal/cli/name"
)

// TagCommand is `tag`.
func TagCommand(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", Short: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE", Args: env.Exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			target := name.Split(args[1])
			if target.Digest != "" {
				return errors.New("refusing to create a tag with a digest reference")
			}
			return e.Client.Post(cmd.Context(), "/images/"+client.Ref(args[0])+"/tag", url.Values{"repo": {target.Repository}, "tag": {target.Tag}}, nil, nil)
		},
	}
}

// RemoveCommand is `rmi`; use is its name.
func RemoveCommand(e *env.Env, use string, aliases ...string) *cobra.Command {
	var force, noPrune bool
	var platform []string
	cmd := &cobra.Command{
		Use: use + " [OPTIONS] IMAGE [IMAGE...]", Short: "Remove one or more images", Args: env.AtLeast(1), Aliases: aliases,
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if force {
				query.Set("force", "1")
			}
			if noPrune {
				query.Set("noprune", "1")
			}
			if len(platform) > 0 {
				query["platforms"] = platform
			}
			var failed []error
			for _, arg := range args {
				var removed []image.DeleteResponse
				err := e.Client.Delete(cmd.Context(), "/images/"+client.Ref(arg), query, &removed)
				if force && client.IsStatus(err, 404) {
					fmt.Fprintln(e.Err, err)
					continue
				}
				failed = append(failed, err)
				for _, r := range removed {
					if r.Deleted != "" {
						fmt.Fprintln(e.Out, "Deleted: "+r.Deleted)
					} else {
						fmt.Fprintln(e.Out, "Untagged: "+r.Untagged)
					}
				}
			}
			return errors.Join(failed...)
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Force removal of the image")
	cmd.Flags().BoolVar(&noPrune, "no-prune", false, "Do not delete untagged parents")
	cmd.Flags().StringSliceVar(&platform, "platform", nil, "Remove only the given platform(s)")
	return cmd
}

type historyRow struct {
	ID           string
	CreatedSince string
	CreatedAt    string
	CreatedBy    string
	Size         string
	Comment      string
}

// HistoryCommand is `history`.
func HistoryCommand(e *env.Env) *cobra.Command {
	var quiet, noTrunc, human bool
	var layout, platform string
	cmd := &cobra.Command{
		Use: "history [OPTIONS] IMAGE", Short: "Show the history of an image", Args: env.Exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if platform != "" {
				query.Set("platform", platform)
			}
			var items []image.HistoryResponseItem
			if err := e.Client.Get(cmd.Context(), "/images/"+client.Ref(args[0])+"/history", query, &items); err != nil {
				return err
			}
			var rows []historyRow
			for _, i := range items {
				rows = append(rows, historyOf(i, noTrunc, human))
			}
			byDefault := "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
			if !human {
				byDefault = strings.ReplaceAll(byDefault, "CreatedSince", "CreatedAt")
			}
			if quiet {
				byDefault = "{{.ID}}"
			}
			return format.Rows(e.Out, layout, byDefault, format.Headers{"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT",
				"CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT"}, rows)
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "Only show image IDs")
	cmd.Flags().BoolVar(&noTrunc, "no-trunc", false, "Don't truncate output")
	cmd.Flags().BoolVarP(&human, "human", "H", true, "Print sizes and dates in human readable format")
	cmd.Flags().StringVar(&layout, "format", "", format.Usage)
	cmd.Flags().StringVar(&platform, "platform", "", "Show history for the given platform")
	return cmd
}

func historyOf(i image.HistoryResponseItem, noTrunc, human bool) historyRow {
	created := time.Unix(i.Created, 0)
	row := historyRow{ID: i.ID, CreatedAt: created.Format(time.RFC3339), CreatedSince: format.Ago(created),
		CreatedBy: strings.ReplaceAll(i.CreatedBy, "\t", " "), Size: fmt.Sprint(i.Size), Comment: i.Comment}
	if human {
		row.Size = units.HumanSizeWithPrecision(float64(i.Size), 3)
	}
	if !noTrunc {
		row.CreatedBy = format.Ellipsis(row.CreatedBy, 45)
		if strings.Contains(row.ID, ":") {
			row.ID = format.ShortID(row.ID)
		}
	}
	return row
}

// Group is `image …`.
func Group(e *env.Env, inspect, build *cobra.Command) *cobra.Command {
	children := []*cobra.Command{ListCommand(e, "ls", "list"), RemoveCommand(e, "rm", "remove"), disk.ImagePrune(e), InspectCommand(e, inspect),
		TreeCommand(e), DiffCommand(e), FlattenCommand(e), MountCommand(e), UnmountCommand(e), VerifyCommand(e), CopyCommand(e), ReceiveCommand(e), build}
	children = append(children, Shared(e)...)
	return env.Group("image", "Manage images", nil, children...)
}

// Shared are the commands that go by the same name with and without `image`.
func Shared(e *env.Env) []*cobra.Command {
	return slices.Concat([]*cobra.Command{PullCommand(e), PushCommand(e), TagCommand(e), HistoryCommand(e)},
		[]*cobra.Command{LoadCommand(e), SaveCommand(e), ImportCommand(e)})
}
