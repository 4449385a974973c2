package build

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// preparations make what a context has that a repository cannot hold.
var preparations = map[string]func(dir string) error{
	"names": func(dir string) error {
		long := filepath.Join(dir, "tree", strings.Repeat("l", 200), strings.Repeat("o", 200))
		return errors.Join(
			os.MkdirAll(filepath.Dir(long), 0o755),
			write(long, []byte("long\n"), 0o644),
			write(filepath.Join(dir, "tree", "caf\xe9"), []byte("latin-1\n"), 0o644),
		)
	},
	"add-archives": func(dir string) error {
		plain := archive(
			tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o750, Uid: 5, Gid: 6},
			tar.Header{Name: "d/f", Mode: 0o604, Uid: 7, Gid: 8, Size: 2},
			tar.Header{Name: "d/link", Typeflag: tar.TypeSymlink, Linkname: "f", Mode: 0o777},
			tar.Header{Name: "d/hard", Typeflag: tar.TypeLink, Linkname: "d/f", Mode: 0o604, Uid: 7, Gid: 8},
		)
		err := errors.Join(
			write(filepath.Join(dir, "plain.tar"), plain, 0o644),
			write(filepath.Join(dir, "named-otherwise"), plain, 0o644),
		)
		for suffix, program := range map[string][]string{"gz": {"gzip", "-n"}, "bz2": {"bzip2"}, "xz": {"xz"}} {
			cmd := exec.Command(program[0], program[1:]...)
			cmd.Stdin = bytes.NewReader(plain)
			packed, perr := cmd.Output()
			err = errors.Join(err, perr, write(filepath.Join(dir, "packed.tar."+suffix), packed, 0o644))
		}
		return err
	},
	"attributes": func(dir string) error {
		capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" // cap_net_bind_service=ep
		return write(filepath.Join(dir, "attributes.tar"), archive(
			tar.Header{Name: "capable", Mode: 0o755, Size: 2, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": capability}},
			tar.Header{Name: "noted", Mode: 0o644, Size: 2, PAXRecords: map[string]string{"SCHILY.xattr.user.note": "kept"}},
		), 0o644)
	},
	"special-archive": func(dir string) error {
		return write(filepath.Join(dir, "special.tar"), archive(
			tar.Header{Name: "pipe", Typeflag: tar.TypeFifo, Mode: 0o640},
			tar.Header{Name: "null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3},
			tar.Header{Name: "setuid", Mode: 0o4711, Uid: 3, Gid: 4, Size: 2},
		), 0o644)
	},
	"sparse": func(dir string) error {
		path := filepath.Join(dir, "holes")
		return errors.Join(write(path, []byte("begin"), 0o644), os.Truncate(path, 2<<20))
	},
}

// archive is a tar of headers; each file's content are as many letters.
func archive(headers ...tar.Header) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			panic(err) // the headers are above
		}
		if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}
