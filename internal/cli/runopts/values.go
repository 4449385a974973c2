package runopts

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// list is a flag that may be given more than once; check, if any, refuses a value.
type list struct {
	values []string
	check  func(string) error
}

func (l *list) String() string { return "" }

func (l *list) Type() string { return "list" }

func (l *list) Set(s string) error {
	if l.check != nil {
		if err := l.check(s); err != nil {
			return err
		}
	}
	l.values = append(l.values, s)
	return nil
}

// size is a number of bytes as users write it.
type size int64

func (b *size) String() string { return "" }

func (b *size) Type() string { return "bytes" }

func (b *size) Set(s string) error {
	n, err := units.RAMInBytes(s)
	if err != nil {
		return fmt.Errorf("write a number and b, k, m or g: %w", err)
	}
	*b = size(n)
	return nil
}

// swap is a size, or -1 for no limit.
type swap struct{ size }

func (b *swap) Set(s string) error {
	if s == "-1" {
		b.size = -1
		return nil
	}
	return b.size.Set(s)
}

// cpus is a decimal number of CPUs in units of 10⁻⁹.
type cpus int64

func (c *cpus) String() string { return "" }

func (c *cpus) Type() string { return "decimal" }

func (c *cpus) Set(s string) error {
	// Rat would take "1/2" and, slowly, "1e999999999", too.
	if len(s) > 30 || strings.Trim(s, "0123456789.") != "" {
		return errors.New("write a decimal number such as 1.5")
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return errors.New("write a decimal number such as 1.5")
	}
	nano := r.Mul(r, big.NewRat(1e9, 1))
	if !nano.IsInt() || !nano.Num().IsInt64() {
		return errors.New("the value is too precise or too big")
	}
	*c = cpus(nano.Num().Int64())
	return nil
}

func checkUlimit(s string) error {
	if _, err := units.ParseUlimit(s); err != nil {
		return fmt.Errorf("write NAME=SOFT[:HARD] with numbers: %w", err)
	}
	return nil
}

func checkPair(s string) error {
	if key, _, ok := strings.Cut(s, "="); !ok || key == "" {
		return errors.New("write KEY=VALUE")
	}
	return nil
}

func checkKey(s string) error {
	if key, _, _ := strings.Cut(s, "="); key == "" {
		return errors.New("the name is missing")
	}
	return nil
}

// Pairs makes a map of "a=b" and "a".
func Pairs(values []string) map[string]string {
	m := make(map[string]string, len(values))
	for _, v := range values {
		key, value, _ := strings.Cut(v, "=")
		m[key] = value
	}
	return m
}

func parseBool(s string) (bool, error) {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, fmt.Errorf("%q is neither true nor false", s)
	}
	return b, nil
}
