package systemd

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-containers/berth/internal/sys/dbus"
)

const annotationPrefix = "org.systemd.property."

// FromAnnotations are the unit's properties that annotations ask for, such as
// org.systemd.property.TimeoutStopUSec = "uint64 5000000". Values are in GVariant's
// text form, of the types that a scope's properties have.
func FromAnnotations(annotations map[string]string) (props dbus.Properties, err error) {
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, ok := strings.CutPrefix(key, annotationPrefix)
		if !ok {
			continue
		}
		const shortest = 3
		if len(name) < shortest || strings.ContainsFunc(name, func(r rune) bool { return (r|0x20) < 'a' || (r|0x20) > 'z' }) {
			return nil, invalid("annotation %q does not name a property of systemd's: give letters, such as %sCollectMode", key, annotationPrefix)
		}
		p := dbus.Property{Name: name}
		if short, ok := strings.CutSuffix(name, "Sec"); ok && short != "" && short[len(short)-1] >= 'a' {
			p.Name = short + "USec"
			p.Value, err = seconds(annotations[key])
		} else {
			p.Value, err = parseValue(annotations[key])
		}
		if err != nil {
			return nil, invalid("annotation %s: %v", key, err)
		}
		props = append(props, p)
	}
	return props, nil
}

// parseValue reads a boolean, a string, a list of strings or an unsigned number
// with its type.
func parseValue(text string) (dbus.Value, error) {
	text = strings.TrimSpace(text)
	bad := fmt.Errorf("%q is none of true, 'text', ['a', 'b'], uint32 7, uint64 7", text)
	if text == "true" || text == "false" {
		return dbus.Bool(text == "true"), nil
	}
	if n, bits, ok := unsigned(text); ok && bits == 32 {
		return dbus.Uint32(n), nil
	} else if ok {
		return dbus.Uint64(n), nil
	}
	if s, rest, ok := quoted(text); ok && rest == "" {
		return dbus.String(s), nil
	}
	list, ok := strings.CutPrefix(strings.TrimPrefix(text, "@as "), "[")
	if !ok {
		return nil, bad
	}
	values := dbus.Strings{}
	list = strings.TrimSpace(list)
	for list != "]" {
		s, rest, ok := quoted(list)
		if !ok {
			return nil, bad
		}
		values = append(values, s)
		list = strings.TrimSpace(rest)
		if after, ok := strings.CutPrefix(list, ","); ok {
			list = strings.TrimSpace(after)
		} else if list != "]" {
			return nil, bad
		}
	}
	return values, nil
}

// unsigned reads a number behind its type's name or letter.
func unsigned(text string) (n uint64, bits int, ok bool) {
	kind, digits, _ := strings.Cut(text, " ")
	bits = map[string]int{"uint32": 32, "@u": 32, "uint64": 64, "@t": 64}[kind]
	if bits == 0 {
		return 0, 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(digits), 0, bits)
	return n, bits, err == nil
}

// quoted takes a string in single or double quotes off the text.
func quoted(text string) (s, rest string, ok bool) {
	if text == "" || text[0] != '\'' && text[0] != '"' {
		return "", "", false
	}
	var b strings.Builder
	quote, text := text[0], text[1:]
	for text != "" && text[0] != quote {
		r, _, after, err := strconv.UnquoteChar(text, quote)
		if err != nil || r == 0 {
			return "", "", false // D-Bus has no zero byte in a string
		}
		b.WriteRune(r)
		text = after
	}
	if text == "" {
		return "", "", false
	}
	return b.String(), text[1:], true
}

// seconds is a time that is given in seconds, as systemd has it over D-Bus.
func seconds(text string) (dbus.Value, error) {
	const micro = 1_000_000
	text = strings.TrimSpace(text)
	if n, _, ok := unsigned(text); ok {
		text = strconv.FormatUint(n, 10)
	}
	f, err := strconv.ParseFloat(text, 64)
	const longest = 1 << 43 // so that microseconds fit
	if err != nil || !(f >= 0 && f < longest) {
		return nil, fmt.Errorf("%q is not a number of seconds, such as 5 or 0.5", text)
	}
	return dbus.Uint64(f * micro), nil
}
