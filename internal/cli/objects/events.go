package objects

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/spf13/cobra"

	"github.com/berth-containers/berth/internal/cli/env"
	"github.com/berth-containers/berth/internal/cli/filter"
	"github.com/berth-containers/berth/internal/cli/format"
)

// EventsCommand is `events`.
func EventsCommand(e *env.Env) *cobra.Command {
	var layout, since, until string
	var filters filter.Values
	cmd := &cobra.Command{
		Use: "events [OPTIONS]", Short: "Get real time events from the server", Args: env.Exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			for name, value := range map[string]string{"since": since, "until": until} {
				if value == "" {
					continue
				}
				t, err := format.Timestamp(value)
				if err != nil {
					return fmt.Errorf("invalid value %q for --%s: %w", value, name, err)
				}
				query.Set(name, t)
			}
			if err := filters.Query(query); err != nil {
				return err
			}
			if _, err := format.Parse(layout); err != nil {
				return err
			}
			body, err := e.Client.Stream(cmd.Context(), http.MethodGet, "/events", query, nil)
			if err != nil {
				return err
			}
			defer body.Close()
			return printEvents(e.Out, body, layout)
		},
	}
	cmd.Flags().StringVar(&layout, "format", "", format.Usage)
	cmd.Flags().StringVar(&since, "since", "", "Show all events created since timestamp")
	cmd.Flags().StringVar(&until, "until", "", "Stream events until this timestamp")
	cmd.Flags().VarP(&filters, "filter", "f", "Filter output based on conditions provided")
	return cmd
}

func printEvents(w io.Writer, r io.Reader, layout string) error {
	decoder := json.NewDecoder(r)
	for {
		var m events.Message
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read the engine's events: %w", err)
		}
		if layout != "" {
			if err := format.Object(w, layout, m); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintln(w, eventText(m)); err != nil {
			return err
		}
	}
}

func eventText(m events.Message) string {
	t := time.Unix(0, m.TimeNano)
	if m.TimeNano == 0 {
		t = time.Unix(m.Time, 0)
	}
	text := fmt.Sprintf("%s %s %s %s", t.Format("2006-01-02T15:04:05.000000000Z07:00"), m.Type, m.Action, m.Actor.ID)
	var attributes []string
	for _, k := range slices.Sorted(maps.Keys(m.Actor.Attributes)) {
		attributes = append(attributes, k+"="+m.Actor.Attributes[k])
	}
	if len(attributes) > 0 {
		text += " (" + strings.Join(attributes, ", ") + ")"
	}
	return text
}
