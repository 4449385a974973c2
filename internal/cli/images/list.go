package images

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/image"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/auth"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/filter"
	"github.com/berth-containers/berth/internal/cli/format"
)

type listOptions struct {
	all, quiet, noTrunc, digests bool
	format                       string
	filter                       filter.Values
}

// ListCommand is `images`; use is its name.
func ListCommand(e *env.Env, use string, aliases ...string) *cobra.Command {
	var o listOptions
	cmd := &cobra.Command{
		Use: use + " [OPTIONS] [REPOSITORY[:TAG]]", Short: "List images", Args: env.Between(0, 1), Aliases: aliases,
		RunE: func(cmd *cobra.Command, args []string) error { return list(cmd, e, o, args) },
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.all, "all", "a", false, "Show all images (default hides intermediate images)")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "Only show image IDs")
	flags.BoolVar(&o.noTrunc, "no-trunc", false, "Don't truncate output")
	flags.BoolVar(&o.digests, "digests", false, "Show digests")
	flags.StringVar(&o.format, "format", "", format.Usage)
	flags.VarP(&o.filter, "filter", "f", "Filter output based on conditions provided")
	return cmd
}

func list(cmd *cobra.Command, e *env.Env, o listOptions, args []string) error {
	query := url.Values{}
	if o.all {
		query.Set("all", "1")
	}
	if len(args) > 0 {
		o.filter.Add("reference", args[0])
	}
	if err := o.filter.Query(query); err != nil {
		return err
	}
	var images []image.Summary
	if err := e.Client.Get(cmd.Context(), "/images/json", query, &images); err != nil {
		return err
	}
	slices.SortStableFunc(images, func(a, b image.Summary) int { return cmp.Compare(b.Created, a.Created) })
	if o.quiet && o.format == "" {
		return printIDs(e, images, o.noTrunc)
	}
	if o.format == "" && !o.quiet {
		config, err := auth.Load(e.ConfigDir)
		if err != nil {
			return err
		}
		o.format = config.ImagesFormat
	}
	var rows []imageRow
	for _, i := range images {
		rows = append(rows, rowsOf(i, o)...)
	}
	byDefault := "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
	if o.digests {
		byDefault = "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
	}
	return format.Rows(e.Out, o.format, byDefault, format.Headers{"ID": "IMAGE ID", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST",
		"CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE", "VirtualSize": "VIRTUAL SIZE", "Containers": "CONTAINERS",
		"SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE"}, rows)
}

func printIDs(e *env.Env, images []image.Summary, noTrunc bool) error {
	for _, i := range images {
		for range max(1, len(i.RepoTags)) {
			id := i.ID
			if !noTrunc {
				id = format.ShortID(id)
			}
			if _, err := fmt.Fprintln(e.Out, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// imageRow is one name of an image.
type imageRow struct {
	Containers   string
	CreatedAt    string
	CreatedSince string
	Digest       string
	ID           string
	Repository   string
	SharedSize   string
	Size         string
	Tag          string
	UniqueSize   string
	VirtualSize  string
}

const none = "<none>"

func rowsOf(i image.Summary, o listOptions) []imageRow {
	created := time.Unix(i.Created, 0)
	row := imageRow{ID: i.ID, Repository: none, Tag: none, Digest: none, CreatedAt: created.Local().Format("2006-01-02 15:04:05 -0700 MST"),
		CreatedSince: format.Ago(created), Size: units.HumanSizeWithPrecision(float64(i.Size), 3), Containers: count(i.Containers), SharedSize: "N/A", UniqueSize: "N/A"}
	row.VirtualSize = row.Size
	if i.Created == 0 {
		row.CreatedSince = "N/A"
	}
	if !o.noTrunc {
		row.ID = format.ShortID(i.ID)
	}
	if i.SharedSize >= 0 {
		row.SharedSize = units.HumanSizeWithPrecision(float64(i.SharedSize), 3)
		row.UniqueSize = units.HumanSizeWithPrecision(float64(i.Size-i.SharedSize), 3)
	}
	digests := map[string]string{}
	for _, d := range i.RepoDigests {
		if repository, digest, ok := strings.Cut(d, "@"); ok {
			digests[repository] = digest
		}
	}
	var rows []imageRow
	for _, t := range i.RepoTags {
		at := strings.LastIndexByte(t, ':')
		if at < 0 || t == "<none>:<none>" {
			continue
		}
		r := row
		r.Repository, r.Tag = t[:at], t[at+1:]
		if d := digests[r.Repository]; d != "" {
			r.Digest = d
		}
		rows = append(rows, r)
	}
	if len(rows) > 0 {
		return rows
	}
	for repository, digest := range digests {
		row.Repository, row.Digest = repository, digest
	}
	return []imageRow{row}
}

func count(n int64) string {
	if n < 0 {
		return "N/A"
	}
	return strconv.FormatInt(n, 10)
}
