package runopts

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// environment joins --env-file and --env. A name without a value takes this
// process's; from --env it goes on without one, which removes it.
func environment(files, values []string, lookup func(string) (string, bool)) ([]string, error) {
	env := []string{}
	for _, file := range files {
		list, err := readPairs(file, lookup)
		if err != nil {
			return nil, fmt.Errorf("invalid env file %s: %w", file, err)
		}
		env = append(env, list...)
	}
	for _, v := range values {
		if !strings.Contains(v, "=") {
			if value, ok := lookup(v); ok {
				v += "=" + value
			}
		}
		env = append(env, v)
	}
	return env, nil
}

func readPairs(file string, lookup func(string) (string, bool)) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer f.Close()
	return ParseEnvFile(f, lookup)
}

// ParseEnvFile reads lines of NAME=VALUE; # begins a comment. A line with only
// a name takes lookup's value or, if there is none, is dropped.
func ParseEnvFile(r io.Reader, lookup func(string) (string, bool)) ([]string, error) {
	var list []string
	s := bufio.NewScanner(r)
	for n := 1; s.Scan(); n++ {
		line := s.Bytes()
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")) // editors' byte order mark
		}
		if !utf8.Valid(line) {
			return nil, fmt.Errorf("line %d is not UTF-8", n)
		}
		text := strings.TrimLeftFunc(string(line), unicode.IsSpace)
		if text == "" || text[0] == '#' {
			continue
		}
		name, _, hasValue := strings.Cut(text, "=")
		switch {
		case name == "":
			return nil, fmt.Errorf("line %d has no variable name", n)
		case strings.ContainsFunc(name, unicode.IsSpace):
			return nil, fmt.Errorf("line %d: variable %q contains whitespaces", n, name)
		case hasValue:
			list = append(list, text)
		default:
			if value, ok := lookup(name); ok {
				list = append(list, name+"="+value)
			}
		}
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	return list, nil
}

// Environment joins the values of --env-file and --env.
func Environment(files, values []string) ([]string, error) {
	for _, v := range values {
		if err := checkKey(v); err != nil {
			return nil, fmt.Errorf("invalid argument %q for \"-e, --env\" flag: %w", v, err)
		}
	}
	return environment(files, values, os.LookupEnv)
}
