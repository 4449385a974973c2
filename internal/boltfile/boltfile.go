// Package boltfile looks at a bbolt file before bbolt does. bbolt maps the file
// and trusts it: of one that was cut, or copied while it was written, it
// panics in a goroutine of its own or ends by SIGBUS, and nobody can answer that.
//
// Check reads every page that can be reached and changes nothing.
package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/containerd/errdefs"
)

// The format, as in go.etcd.io/bbolt/internal/common; all numbers are little-endian.
const (
	headerBytes  = 16 // of a page: id, flags, count, overflow
	elementBytes = 16
	bucketBytes  = 16 // root page, sequence
	metaBytes    = 64
	magic        = 0xED0CDAED
	version      = 2

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketFlag   = 0x01
	noFreelist   = ^uint64(0)

	maxDepth = 64 // of a tree, with the buckets in it
)

// Check returns ErrDataLoss if bbolt cannot be trusted with the file. A file
// that is empty or not there is good: bbolt makes it. One that a process has
// open is not looked at: bbolt waits for that.
func Check(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return nil
	}
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	return check(f, info.Size())
}

func damaged(format string, args ...any) error {
	return errdefs.ErrDataLoss.WithMessage("invalid database: " + fmt.Sprintf(format, args...))
}

// walk is one look at a file.
type walk struct {
	file     io.ReaderAt
	pageSize int64
	pages    uint64 // the first page that was never used
	seen     []bool
}

func check(f io.ReaderAt, size int64) error {
	m, err := newest(f)
	if err != nil {
		return err
	}
	if m.pages < 4 || m.pages > uint64(size/m.pageSize) {
		return damaged("the file has %d bytes and should have %d pages of %d", size, m.pages, m.pageSize)
	}
	w := &walk{file: f, pageSize: m.pageSize, pages: m.pages, seen: make([]bool, m.pages)}
	if m.freelist != noFreelist {
		if err := w.freelist(m.freelist); err != nil {
			return err
		}
	}
	_, err = w.tree(m.root, span{}, 0)
	return err
}

type meta struct {
	pageSize                    int64
	root, freelist, pages, txid uint64
}

// newest is the valid one of the two meta pages that was written last.
func newest(f io.ReaderAt) (m meta, err error) {
	first, ok := readMeta(f, 0)
	if ok {
		m = first
	}
	for size := int64(1 << 10); size <= 64<<10; size *= 2 {
		if ok && size != first.pageSize {
			continue
		}
		if second, good := readMeta(f, size); good && second.pageSize == size && second.txid >= m.txid {
			m = second
		}
	}
	if m.pageSize == 0 {
		return m, damaged("it begins like none")
	}
	return m, nil
}

func readMeta(f io.ReaderAt, at int64) (meta, bool) {
	b := make([]byte, metaBytes)
	if _, err := f.ReadAt(b, at+headerBytes); err != nil {
		return meta{}, false
	}
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	n := binary.LittleEndian
	size := n.Uint32(b[8:])
	m := meta{pageSize: int64(size), root: n.Uint64(b[16:]), freelist: n.Uint64(b[32:]), pages: n.Uint64(b[40:]), txid: n.Uint64(b[48:])}
	sane := n.Uint32(b) == magic && n.Uint32(b[4:]) == version && n.Uint64(b[56:]) == sum.Sum64()
	return m, sane && size >= 1<<10 && size <= 64<<10 && size&(size-1) == 0
}

// page reads a page with what overflows from it, each once.
func (w *walk) page(id uint64) (b []byte, flags, count uint16, err error) {
	if id < 2 || id >= w.pages {
		return nil, 0, 0, damaged("page %d is outside of the file", id)
	}
	head := make([]byte, headerBytes)
	if _, err := w.file.ReadAt(head, int64(id)*w.pageSize); err != nil {
		return nil, 0, 0, fmt.Errorf("read page %d: %w", id, err)
	}
	n := binary.LittleEndian
	flags, count = n.Uint16(head[8:]), n.Uint16(head[10:])
	more := uint64(n.Uint32(head[12:]))
	if n.Uint64(head) != id || id+more >= w.pages {
		return nil, 0, 0, damaged("page %d is overwritten", id)
	}
	for i := id; i <= id+more; i++ {
		if w.seen[i] {
			return nil, 0, 0, damaged("page %d is used twice", i)
		}
		w.seen[i] = true
	}
	b = make([]byte, int64(more+1)*w.pageSize)
	if _, err := w.file.ReadAt(b, int64(id)*w.pageSize); err != nil {
		return nil, 0, 0, fmt.Errorf("read page %d: %w", id, err)
	}
	return b, flags, count, nil
}

func (w *walk) freelist(id uint64) error {
	b, flags, short, err := w.page(id)
	if err != nil {
		return err
	}
	ids, count := b[headerBytes:], uint64(short)
	if count == 0xFFFF {
		count, ids = binary.LittleEndian.Uint64(ids), ids[8:]
	}
	if flags != freelistPage || count > uint64(len(ids)/8) {
		return damaged("page %d is not the list of free pages", id)
	}
	for i := range count {
		if free := binary.LittleEndian.Uint64(ids[8*i:]); free < 2 || free >= w.pages {
			return damaged("free page %d is outside of the file", free)
		}
	}
	return nil
}

// span is where the keys of a page must lie: from low on and below high; nil is
// no bound.
type span struct{ low, high []byte }

// admits is whether key may be the i-th of a page, after the keys up to low.
func (s span) admits(i int, key []byte) bool {
	if s.low != nil && (bytes.Compare(key, s.low) < 0 || i > 0 && bytes.Equal(key, s.low)) {
		return false
	}
	return s.high == nil || bytes.Compare(key, s.high) < 0
}

// tree returns the last key below a page.
func (w *walk) tree(id uint64, keys span, depth int) (last []byte, err error) {
	b, flags, count, err := w.page(id)
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, damaged("the tree at page %d is too deep", id)
	}
	switch flags {
	case leafPage:
		return w.leaf(id, b, count, keys, depth)
	case branchPage:
		return w.branch(id, b, count, keys, depth)
	}
	return nil, damaged("page %d is of no known kind", id)
}

func (w *walk) branch(id uint64, b []byte, count uint16, keys span, depth int) (last []byte, err error) {
	n := binary.LittleEndian
	type child struct {
		key  []byte
		page uint64
	}
	children := make([]child, count)
	for i := range children {
		e, rest, ok := element(b, i)
		if !ok {
			return nil, damaged("page %d: element %d is outside of it", id, i)
		}
		key, ok := part(rest, n.Uint32(e), n.Uint32(e[4:]))
		if !ok {
			return nil, damaged("page %d: element %d is outside of it", id, i)
		}
		children[i] = child{key, n.Uint64(e[8:])}
	}
	if count == 0 {
		return nil, damaged("page %d is a branch without children", id)
	}
	inside := keys
	for i, c := range children {
		if !inside.admits(i, c.key) {
			return nil, damaged("page %d: key %d is out of order", id, i)
		}
		below := span{c.key, keys.high}
		if i+1 < len(children) {
			below.high = children[i+1].key
		}
		if last, err = w.tree(c.page, below, depth+1); err != nil {
			return nil, err
		}
		inside.low = last
	}
	return last, nil
}

func (w *walk) leaf(id uint64, b []byte, count uint16, keys span, depth int) (last []byte, err error) {
	n := binary.LittleEndian
	for i := range int(count) {
		e, rest, ok := element(b, i)
		if !ok {
			return nil, damaged("page %d: element %d is outside of it", id, i)
		}
		key, ok := part(rest, n.Uint32(e[4:]), n.Uint32(e[8:]))
		value, ok2 := part(rest, n.Uint32(e[4:])+n.Uint32(e[8:]), n.Uint32(e[12:]))
		if !ok || !ok2 {
			return nil, damaged("page %d: element %d is outside of it", id, i)
		}
		if !keys.admits(i, key) {
			return nil, damaged("page %d: key %d is out of order", id, i)
		}
		keys.low, last = key, key
		if n.Uint32(e)&bucketFlag == 0 {
			continue
		}
		if err := w.bucket(id, value, depth+1); err != nil {
			return nil, err
		}
	}
	return last, nil
}

// bucket is a tree of its own, or one page inside the value.
func (w *walk) bucket(id uint64, v []byte, depth int) error {
	if len(v) < bucketBytes {
		return damaged("page %d: a bucket is cut", id)
	}
	n := binary.LittleEndian
	if root := n.Uint64(v); root != 0 {
		_, err := w.tree(root, span{}, depth)
		return err
	}
	inside := v[bucketBytes:]
	if len(inside) < headerBytes || n.Uint16(inside[8:]) != leafPage || depth > maxDepth {
		return damaged("page %d: a bucket inside it is no leaf", id)
	}
	_, err := w.leaf(id, inside, n.Uint16(inside[10:]), span{}, depth)
	return err
}

// element is the i-th of a page, and the page from it on.
func element(b []byte, i int) (e, rest []byte, ok bool) {
	at := headerBytes + elementBytes*i
	if at+elementBytes > len(b) {
		return nil, nil, false
	}
	return b[at : at+elementBytes], b[at:], true
}

func part(b []byte, at, size uint32) ([]byte, bool) {
	if uint64(at)+uint64(size) > uint64(len(b)) {
		return nil, false
	}
	return b[at : at+size], true
}
