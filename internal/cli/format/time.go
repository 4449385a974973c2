package format

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
)

// Usage is the help of --format.
const Usage = "Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go 'TEMPLATE'"

// Ago is "2 hours ago".
func Ago(t time.Time) string { return units.HumanDuration(time.Since(t)) + " ago" }

// Timestamp reads a time as users write it: a duration before now ("42m"), Unix
// seconds, a date, or a time with or without a zone. The engine gets seconds.
func Timestamp(s string) (string, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return seconds(time.Now().Add(-d)), nil
	}
	if s != "" && strings.Trim(s, "0123456789.") == "" {
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return s, nil
		}
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02",
		"2006-01-02Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return seconds(t), nil
		}
	}
	return "", errors.New("write a time such as 2013-01-02T13:23:37Z, Unix seconds, or a duration such as 42m")
}

func seconds(t time.Time) string {
	return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
}
