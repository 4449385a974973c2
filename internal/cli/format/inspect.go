package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Inspected is an object as the engine sent it, and as its type if known.
type Inspected struct {
	Raw   json.RawMessage
	Typed any
}

// Inspect prints objects as an indented list, or each by a template. A template
// sees the type's fields (.ID) first, then the names on the wire (.Id).
func Inspect(w io.Writer, format string, objects []Inspected) error {
	if format == "" {
		return indented(w, objects)
	}
	if format == "json" {
		return compact(w, objects)
	}
	t, err := Parse(format)
	if err != nil {
		return err
	}
	for _, o := range objects {
		var b bytes.Buffer
		if o.Typed == nil || t.Execute(&b, o.Typed) != nil {
			b.Reset()
			decoder := json.NewDecoder(bytes.NewReader(o.Raw))
			decoder.UseNumber()
			var tree any
			if err := decoder.Decode(&tree); err != nil {
				return fmt.Errorf("read the engine's answer: %w", err)
			}
			bridgeAddress(tree)
			if err := t.Execute(&b, tree); err != nil {
				return fmt.Errorf("template parsing error: %w", err)
			}
		}
		b.WriteByte('\n')
		if _, err := w.Write(b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// bridgeAddress keeps {{.NetworkSettings.IPAddress}} working, which API 1.52
// took away and scripts still ask for.
func bridgeAddress(tree any) {
	root, _ := tree.(map[string]any)
	settings, ok := root["NetworkSettings"].(map[string]any)
	if !ok {
		return
	}
	networks, _ := settings["Networks"].(map[string]any)
	bridge, _ := networks["bridge"].(map[string]any)
	for _, name := range []string{"IPAddress", "IPPrefixLen", "Gateway", "MacAddress", "EndpointID", "GlobalIPv6Address", "IPv6Gateway"} {
		if _, there := settings[name]; there {
			continue
		}
		settings[name] = ""
		if v, ok := bridge[name]; ok {
			settings[name] = v
		}
	}
}

func indented(w io.Writer, objects []Inspected) error {
	if len(objects) == 0 {
		_, err := fmt.Fprintln(w, "[]")
		return err
	}
	var all, b bytes.Buffer
	all.WriteByte('[')
	for i, o := range objects {
		if i > 0 {
			all.WriteByte(',')
		}
		all.Write(o.Raw)
	}
	all.WriteByte(']')
	if err := json.Indent(&b, all.Bytes(), "", "    "); err != nil {
		return fmt.Errorf("read the engine's answer: %w", err)
	}
	_, err := fmt.Fprintln(w, strings.TrimSpace(b.String()))
	return err
}

func compact(w io.Writer, objects []Inspected) error {
	for _, o := range objects {
		var b bytes.Buffer
		if err := json.Compact(&b, o.Raw); err != nil {
			return fmt.Errorf("read the engine's answer: %w", err)
		}
		b.WriteByte('\n')
		if _, err := w.Write(b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
