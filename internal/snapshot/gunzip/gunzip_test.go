package gunzip

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// samples are streams of every kind of block, and of data that make long codes,
// far matches and short ones.
func samples() map[string][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 300_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	skewed := make([]byte, 400_000) // codes of 15 bits
	for i := range skewed {
		skewed[i] = byte(min(255, random.ExpFloat64()*3))
		if random.IntN(5000) == 0 {
			skewed[i] = byte(random.Uint32())
		}
	}
	mixed := bytes.Repeat([]byte{7}, 5000)
	for len(mixed) < 500_000 {
		from := len(mixed) - 1 - random.IntN(min(len(mixed)-1, window))
		n := random.IntN(300)
		for i := range n {
			mixed = append(mixed, mixed[from+i])
		}
		mixed = append(mixed, byte(random.Uint32()))
	}
	return map[string][]byte{
		"nothing": {}, "a byte": {1}, "a run": make([]byte, 1_000_000), "noise": noise, "skewed": skewed, "mixed": mixed,
		"words": bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog\n"), 5000),
	}
}

func pack(t testing.TB, level int, parts ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil { // an empty block
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpack(r io.Reader) ([]byte, error) {
	z, err := New(r)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func TestRead(t *testing.T) {
	for name, want := range samples() {
		for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
			t.Run(fmt.Sprintf("%s at level %d", name, level), func(t *testing.T) {
				packed := pack(t, level, want[:len(want)/3], want[len(want)/3:])
				for kind, r := range map[string]io.Reader{
					"whole": bytes.NewReader(packed), "halves": iotest.HalfReader(bytes.NewReader(packed)),
					"bytes": iotest.OneByteReader(bytes.NewReader(packed)), "with the end": iotest.DataErrReader(bytes.NewReader(packed)),
				} {
					if got, err := unpack(r); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s: %d bytes and %v, want %d", kind, len(got), err, len(want))
					}
				}
			})
		}
	}
}

// Members follow one another; a match does not reach into the one before.
func TestMembers(t *testing.T) {
	s := samples()
	var packed, want []byte
	for _, name := range []string{"mixed", "nothing", "a byte", "noise", "words"} {
		packed, want = append(packed, pack(t, 6, s[name])...), append(want, s[name]...)
	}
	if got, err := unpack(bytes.NewReader(packed)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes and %v, want %d", len(got), err, len(want))
	}
	reach := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 0x03, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if _, err := unpack(bytes.NewReader(append(packed, reach...))); err == nil {
		t.Error("a match reached into another member")
	}
}

func TestHeader(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Name, w.Comment, w.Extra = "name", "comment", []byte("extra")
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := unpack(&b); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestBad(t *testing.T) {
	whole := pack(t, 6, samples()["words"])
	with := func(at int, b byte) []byte {
		bad := bytes.Clone(whole)
		bad[at] ^= b
		return bad
	}
	for _, row := range []struct {
		name string
		in   io.Reader
		want error
	}{
		{"empty", bytes.NewReader(nil), io.EOF},
		{"no gzip", bytes.NewReader([]byte("0123456789abcdef")), gzip.ErrHeader},
		{"another method", bytes.NewReader(with(2, 1)), gzip.ErrHeader},
		{"half a header", bytes.NewReader(whole[:7]), io.ErrUnexpectedEOF},
		{"a wrong sum", bytes.NewReader(with(len(whole)-8, 1)), gzip.ErrChecksum},
		{"a wrong size", bytes.NewReader(with(len(whole)-1, 1)), gzip.ErrChecksum},
		{"something after it", bytes.NewReader(append(bytes.Clone(whole), "0123456789"...)), gzip.ErrHeader},
		{"a source that breaks", io.MultiReader(bytes.NewReader(whole[:len(whole)/2]), iotest.ErrReader(io.ErrClosedPipe)), io.ErrClosedPipe},
		{"a source that gives nothing", iotest.ErrReader(nil), io.ErrNoProgress},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := unpack(row.in); !errors.Is(err, row.want) {
				t.Errorf("%v, want %v", err, row.want)
			}
		})
	}
	for n := 1; n < len(whole); n++ {
		if _, err := unpack(bytes.NewReader(whole[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

// FuzzReader reads what compress/gzip reads, and refuses what it refuses.
func FuzzReader(f *testing.F) {
	for _, s := range samples() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 9} {
			f.Add(pack(f, level, s[:min(len(s), 3000)]))
		}
	}
	f.Add([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 0x03, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		var want []byte
		z, wantErr := gzip.NewReader(bytes.NewReader(b))
		if wantErr == nil {
			want, wantErr = io.ReadAll(io.LimitReader(z, 10<<20))
		}
		ours, err := New(bytes.NewReader(b))
		var got []byte
		if err == nil {
			got, err = io.ReadAll(io.LimitReader(ours, 10<<20))
		}
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Errorf("%d bytes and %v, want %d and %v", len(got), err, len(want), wantErr)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for name, s := range samples() {
		b.Run(name, func(b *testing.B) {
			packed := pack(b, 6, s)
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				z, err := New(bytes.NewReader(packed))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, z); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
