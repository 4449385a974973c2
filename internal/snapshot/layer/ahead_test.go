package layer

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

func TestReadAhead(t *testing.T) {
	want := make([]byte, 5*aheadBytes+17)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(want)
	broken := errors.New("broken")
	for _, row := range []struct {
		name string
		from io.Reader
		want []byte
		err  error
	}{
		{"nothing", bytes.NewReader(nil), nil, nil},
		{"a little", bytes.NewReader(want[:3]), want[:3], nil},
		{"a whole buffer", bytes.NewReader(want[:aheadBytes]), want[:aheadBytes], nil},
		{"more than there are buffers", bytes.NewReader(want), want, nil},
		{"short reads", iotest.HalfReader(bytes.NewReader(want)), want, nil},
		{"data with the end", iotest.DataErrReader(bytes.NewReader(want)), want, nil},
		{"an error at once", iotest.ErrReader(broken), nil, broken},
		{"an error in the middle", io.MultiReader(bytes.NewReader(want[:aheadBytes+5]), iotest.ErrReader(broken)), want[:aheadBytes+5], broken},
		{"a truncated stream", io.MultiReader(bytes.NewReader(want[:9]), iotest.ErrReader(io.ErrUnexpectedEOF)), want[:9], io.ErrUnexpectedEOF},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := readAhead(row.from)
			defer a.close()
			got, err := io.ReadAll(a)
			if !bytes.Equal(got, row.want) || !errors.Is(err, row.err) {
				t.Errorf("%d bytes and %v, want %d and %v", len(got), err, len(row.want), row.err)
			}
		})
	}
}

// Who stops in the middle does not leave the goroutine behind.
func TestReadAheadStopped(t *testing.T) {
	a := readAhead(iotest.OneByteReader(rand.NewChaCha8([32]byte{2})))
	if _, err := io.ReadFull(a, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	a.close()
}
