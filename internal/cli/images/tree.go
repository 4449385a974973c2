package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/client"
	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/format"
	"github.com/berth-containers/berth/internal/image/report"
)

func size(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

type layerRow struct {
	Layer                   int
	Digest, DiffID          string
	Size, Packed, Wasted    string
	Added, Changed, Deleted int
	CreatedBy               string
}

// TreeCommand is `image tree`.
func TreeCommand(e *env.Env) *cobra.Command {
	var layout string
	var noTrunc bool
	cmd := &cobra.Command{
		Use: "tree [OPTIONS] IMAGE", Short: "Show the layers of an image: what each of them adds, changes, deletes and wastes", Args: env.Exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var tree report.Tree
			if err := e.Client.Get(cmd.Context(), "/berth/images/"+client.Ref(args[0])+"/layers", nil, &tree); err != nil {
				return err
			}
			if layout == "" {
				fmt.Fprintf(e.Out, "%s  %s  %d layers, %s, %s wasted\n", strings.Join(tree.Names, " "), format.ShortID(tree.ID),
					len(tree.Layers), size(tree.Bytes), size(tree.WastedBytes))
			}
			var rows []layerRow
			for i, l := range tree.Layers {
				row := layerRow{Layer: i + 1, Digest: l.Digest, DiffID: l.DiffID, Size: size(l.Bytes), Packed: size(l.PackedBytes), Wasted: size(l.WastedBytes),
					Added: l.Added, Changed: l.Changed, Deleted: l.Deleted, CreatedBy: strings.ReplaceAll(l.CreatedBy, "\t", " ")}
				if !noTrunc {
					row.Digest, row.DiffID, row.CreatedBy = format.ShortID(l.Digest), format.ShortID(l.DiffID), format.Ellipsis(row.CreatedBy, 60)
				}
				rows = append(rows, row)
			}
			return format.Rows(e.Out, layout, "table {{.Layer}}\t{{.Digest}}\t{{.Size}}\t{{.Packed}}\t{{.Added}}\t{{.Changed}}\t{{.Deleted}}\t{{.Wasted}}\t{{.CreatedBy}}",
				format.Headers{"Layer": "LAYER", "Digest": "DIGEST", "DiffID": "DIFF ID", "Size": "SIZE", "Packed": "PACKED", "Added": "ADDED",
					"Changed": "CHANGED", "Deleted": "DELETED", "Wasted": "WASTED", "CreatedBy": "CREATED BY"}, rows)
		},
	}
	cmd.Flags().StringVar(&layout, "format", "", format.Usage)
	cmd.Flags().BoolVar(&noTrunc, "no-trunc", false, "Don't truncate output")
	return cmd
}

// DiffCommand is `image diff`.
func DiffCommand(e *env.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "diff [OPTIONS] IMAGE IMAGE", Short: "Show what the files of the second image have otherwise than those of the first", Args: env.Exactly(2),
		Long: "Show what the files of the second image have otherwise than those of the first: A added, C changed (and in what), D deleted. Times do not count.",
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, err := e.Client.Stream(cmd.Context(), http.MethodGet, "/berth/images/diff", url.Values{"from": {args[0]}, "to": {args[1]}}, nil)
			if err != nil {
				return err
			}
			defer answer.Close()
			out := json.NewEncoder(e.Out)
			return each(answer, func(d report.Difference) error {
				if asJSON {
					return out.Encode(d)
				}
				line := strings.ToUpper(d.Kind[:1]) + " " + d.Path
				if len(d.What) > 0 {
					line += " (" + strings.Join(d.What, ", ") + ")"
				}
				_, err := fmt.Fprintln(e.Out, line)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "Print one JSON object a line, with sizes")
	return cmd
}

// each reads JSON values until the engine says that it failed, or ends.
func each[T any](r io.Reader, do func(T) error) error {
	in := json.NewDecoder(r)
	for {
		var raw json.RawMessage
		if err := in.Decode(&raw); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read the engine's answer: %w", err)
		}
		var failure struct {
			Text string `json:"error"`
		}
		if json.Unmarshal(raw, &failure) == nil && failure.Text != "" {
			return errors.New(failure.Text)
		}
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return fmt.Errorf("read the engine's answer: %w", err)
		}
		if err := do(v); err != nil {
			return err
		}
	}
}

// FlattenCommand is `image flatten`.
func FlattenCommand(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use: "flatten IMAGE [NAME]", Short: "Make an image of one layer that has the files and the settings of IMAGE", Args: env.Between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if len(args) == 2 {
				query.Set("name", args[1])
			}
			var f report.Flattened
			if err := e.Client.Post(cmd.Context(), "/berth/images/"+client.Ref(args[0])+"/flatten", query, nil, &f); err != nil {
				return err
			}
			fmt.Fprintln(e.Out, f.ID)
			saved := fmt.Sprintf("%s saved", size(f.Before-f.After))
			if f.After > f.Before {
				saved = size(f.After-f.Before) + " more"
			}
			fmt.Fprintf(e.Err, "%d layers, %s -> 1 layer, %s: %s\n", f.Layers, size(f.Before), size(f.After), saved)
			return nil
		},
	}
}
