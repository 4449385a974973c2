package stdio

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/berth-containers/berth/internal/logs"
)

// journal says what is about to be logged: the bytes from–to of stream's spool
// go to the log between the marks. logged is how far each spool was before.
type journal struct {
	logged        [2]int64
	stream        logs.Stream
	from, to      int64
	before, after logs.Mark
}

const journalBytes = 4 + 1 + 8*8

func (j journal) encode() []byte {
	b := make([]byte, 4, journalBytes)
	b = append(b, byte(j.stream))
	for _, n := range []int64{j.logged[0], j.logged[1], j.from, j.to,
		int64(j.before.Inode), j.before.Bytes, int64(j.after.Inode), j.after.Bytes} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	binary.LittleEndian.PutUint32(b, crc32.ChecksumIEEE(b[4:]))
	return b
}

func (j journal) write(f *os.File) error {
	if _, err := f.WriteAt(j.encode(), 0); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// readJournal returns the zero journal from an empty file.
func readJournal(f *os.File) (journal, error) {
	b := make([]byte, journalBytes)
	n, err := f.ReadAt(b, 0)
	if n == 0 && err == io.EOF {
		return journal{stream: logs.Stdout}, nil
	}
	if err != nil {
		return journal{}, fmt.Errorf("read journal: %w", err)
	}
	return decodeJournal(b)
}

func decodeJournal(b []byte) (journal, error) {
	sum := binary.LittleEndian.Uint32(b)
	stream := logs.Stream(b[4])
	if sum != crc32.ChecksumIEEE(b[4:]) || (stream != logs.Stdout && stream != logs.Stderr) {
		return journal{}, fmt.Errorf("journal is damaged")
	}
	var n [8]int64
	for i := range n {
		n[i] = int64(binary.LittleEndian.Uint64(b[5+8*i:]))
	}
	return journal{
		logged: [2]int64{n[0], n[1]}, stream: stream, from: n[2], to: n[3],
		before: logs.Mark{Inode: uint64(n[4]), Bytes: n[5]}, after: logs.Mark{Inode: uint64(n[6]), Bytes: n[7]},
	}, nil
}
