package changes

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
)

// split splits at blanks; quotes group, a backslash takes the next character
// as it is, except inside single quotes.
func split(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	var escaped, started bool
	for _, r := range s {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, started = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '"' || r == '\'':
			quote, started = r, true
		case r == ' ':
			if started {
				words = append(words, word.String())
			}
			word.Reset()
			started = false
		default:
			word.WriteRune(r)
			started = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("unterminated quote")
	}
	if escaped {
		return nil, fmt.Errorf("nothing after the backslash")
	}
	if started {
		words = append(words, word.String())
	}
	return words, nil
}

// healthcheck reads HEALTHCHECK NONE and HEALTHCHECK [--option=…] CMD ….
func healthcheck(c *container.Config, rest string) error {
	h := &container.HealthConfig{}
	for strings.HasPrefix(rest, "--") {
		var option string
		option, rest, _ = strings.Cut(rest, " ")
		rest = strings.TrimSpace(rest)
		if err := healthOption(h, option); err != nil {
			return err
		}
	}
	kind, cmd, _ := strings.Cut(rest, " ")
	cmd = strings.TrimSpace(cmd)
	switch strings.ToUpper(kind) {
	case "NONE":
		if cmd != "" {
			return fmt.Errorf("HEALTHCHECK NONE takes no arguments")
		}
		h.Test = []string{"NONE"}
	case "CMD":
		if cmd == "" {
			return fmt.Errorf("missing command after HEALTHCHECK CMD")
		}
		if words, ok := list(cmd); ok {
			h.Test = append([]string{"CMD"}, words...)
		} else {
			h.Test = []string{"CMD-SHELL", cmd}
		}
	default:
		return fmt.Errorf("unknown type %q in HEALTHCHECK (try CMD)", kind)
	}
	c.Healthcheck = h
	return nil
}

func healthOption(h *container.HealthConfig, option string) error {
	name, value, _ := strings.Cut(strings.TrimPrefix(option, "--"), "=")
	if name == "retries" {
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return fmt.Errorf("--retries must be a number from 0, not %q", value)
		}
		h.Retries = n
		return nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 || d > 0 && d < container.MinimumDuration {
		return fmt.Errorf("--%s must be a duration of at least 1ms, not %q", name, value)
	}
	switch name {
	case "interval":
		h.Interval = d
	case "timeout":
		h.Timeout = d
	case "start-period":
		h.StartPeriod = d
	case "start-interval":
		h.StartInterval = d
	default:
		return fmt.Errorf("unknown flag --%s", name)
	}
	return nil
}
