package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
)

// The page format of bbolt, version 2: a file of pages of one size. Pages 0
// and 1 are the metas of the last two commits; the one with the higher
// transaction id that has a right checksum says where the root bucket and the
// list of free pages lie. Numbers have the machine's byte order.
const (
	pageHead    = 16 // id u64, flags u16, count u16, overflow u32
	pageElement = 16 // of a branch: pos, ksize u32, page u64; of a leaf: flags, pos, ksize, vsize u32
	metaSize    = 64
	metaMagic   = 0xED0CDAED
	metaVersion = 2

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10
	leafBucket   = 0x01 // an element's flag: the value is a bucket

	deepest = 40 // levels of a tree; with two keys a page it holds more than any file
)

var order = binary.NativeEndian

// pageMeta is one of the two metas.
type pageMeta struct {
	pageSize                  int
	root, freelist, end, txid uint64
}

// readMeta decodes what follows the page head of a meta page.
func readMeta(b []byte) (m pageMeta, ok bool) {
	if len(b) < metaSize || order.Uint32(b) != metaMagic || order.Uint32(b[4:]) != metaVersion {
		return m, false
	}
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56]) // ignored: a hash takes everything
	m = pageMeta{
		pageSize: int(order.Uint32(b[8:])), root: order.Uint64(b[16:]), freelist: order.Uint64(b[32:]),
		end: order.Uint64(b[40:]), txid: order.Uint64(b[48:]),
	}
	size := m.pageSize
	return m, sum.Sum64() == order.Uint64(b[56:]) && size >= 1024 && size <= 1<<16 && size&(size-1) == 0
}

// inspection walks all pages of a file through ReadAt, so that no damage can
// fault or panic, unlike bbolt's own check, which trusts what it follows.
type inspection struct {
	r    io.ReaderAt
	size int64
	pageMeta
	seen []uint64            // a bit for each page
	bufs [deepest + 3][]byte // one page of each level at a time
}

// inspect reports whether a database file is whole: its newest meta, every
// page that is reachable from there, and the list of free pages. On error the
// file is damaged, unless the error is the system's own about reading.
func inspect(r io.ReaderAt, size int64) error {
	w := &inspection{r: r, size: size}
	if err := w.chooseMeta(); err != nil {
		return err
	}
	if int64(w.end) < 0 || w.end > uint64(size)/uint64(w.pageSize) || w.end < 3 {
		return fmt.Errorf("the file ends before its last page: %w", ErrDamaged)
	}
	w.seen = make([]uint64, w.end/64+1)
	if err := w.tree(w.root, nil, 0); err != nil {
		return err
	}
	return w.free()
}

// newest returns which of the two meta pages counts, -1 when none is right.
func (w *inspection) newest() (int, error) {
	var metas [2]pageMeta
	var ok [2]bool
	head := make([]byte, pageHead+metaSize)
	if err := w.read(head, 0); err != nil {
		return -1, err
	}
	metas[0], ok[0] = readMeta(head[pageHead:])
	for size := 1024; size <= 1<<16; size *= 2 {
		if ok[0] && size != metas[0].pageSize || int64(size+len(head)) > w.size {
			continue
		}
		if err := w.read(head, int64(size)); err != nil {
			return -1, err
		}
		if m, good := readMeta(head[pageHead:]); good && m.pageSize == size {
			metas[1], ok[1] = m, true
			break
		}
	}
	n := 0
	switch {
	case !ok[0] && !ok[1]:
		return -1, fmt.Errorf("neither of its two heads is right: %w", ErrDamaged)
	case !ok[0], ok[1] && metas[1].txid > metas[0].txid:
		n = 1
	}
	w.pageMeta = metas[n]
	return n, nil
}

func (w *inspection) chooseMeta() error {
	if w.size < pageHead+metaSize {
		return fmt.Errorf("the file is too short: %w", ErrDamaged)
	}
	_, err := w.newest()
	return err
}

// read fills b; past the end is damage, anything else the system's word.
func (w *inspection) read(b []byte, at int64) error {
	n, err := w.r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the file ends too early: %w", ErrDamaged)
	}
	return err
}

func wrong(page uint64, what string) error {
	return fmt.Errorf("page %d: %s: %w", page, what, ErrDamaged)
}

// page reads a page with its overflow and marks it as seen. It is good until
// the next page of its level is read.
func (w *inspection) page(id uint64, depth int) ([]byte, error) {
	if id < 2 || id >= w.end {
		return nil, wrong(id, "out of bounds")
	}
	if w.bufs[depth] == nil {
		w.bufs[depth] = make([]byte, w.pageSize)
	}
	b := w.bufs[depth][:w.pageSize]
	if err := w.read(b, int64(id)*int64(w.pageSize)); err != nil {
		return nil, err
	}
	if order.Uint64(b) != id {
		return nil, wrong(id, "something else is written there")
	}
	more := uint64(order.Uint32(b[12:]))
	if id+more >= w.end {
		return nil, wrong(id, "too long")
	}
	for i := id; i <= id+more; i++ {
		if w.seen[i/64]&(1<<(i%64)) != 0 {
			return nil, wrong(i, "used twice")
		}
		w.seen[i/64] |= 1 << (i % 64)
	}
	if more > 0 {
		b = slices.Grow(b, int(more)*w.pageSize)[:(1+int(more))*w.pageSize]
		w.bufs[depth] = b
		if err := w.read(b[w.pageSize:], int64(id+1)*int64(w.pageSize)); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// tree walks a bucket's pages from one of them down; no key may be below least.
func (w *inspection) tree(id uint64, least []byte, depth int) error {
	b, err := w.page(id, depth)
	if err != nil {
		return err
	}
	switch order.Uint16(b[8:]) {
	case flagLeaf:
		return w.leaf(id, b, least, depth)
	case flagBranch:
	default:
		return wrong(id, "neither branch nor leaf")
	}
	if depth > deepest {
		return wrong(id, "too deep")
	}
	count := int(order.Uint16(b[10:]))
	if count == 0 || pageHead+count*pageElement > len(b) {
		return wrong(id, "wrong number of entries")
	}
	var last []byte
	for i := range count {
		at := pageHead + i*pageElement
		key, ok := span(b, at, order.Uint32(b[at:]), order.Uint32(b[at+4:]))
		if !ok || i == 0 && bytes.Compare(key, least) < 0 || i > 0 && bytes.Compare(key, last) <= 0 {
			return wrong(id, "keys out of place")
		}
		if err := w.tree(order.Uint64(b[at+8:]), key, depth+1); err != nil {
			return err
		}
		last = key
	}
	return nil
}

// leaf checks the entries of a leaf and the buckets among them.
func (w *inspection) leaf(id uint64, b, least []byte, depth int) error {
	count := int(order.Uint16(b[10:]))
	if pageHead+count*pageElement > len(b) {
		return wrong(id, "wrong number of entries")
	}
	last := least
	for i := range count {
		at := pageHead + i*pageElement
		pos, ksize, vsize := order.Uint32(b[at+4:]), order.Uint32(b[at+8:]), order.Uint32(b[at+12:])
		key, ok := span(b, at, pos, ksize)
		if !ok || bytes.Compare(key, last) < 0 || i > 0 && bytes.Equal(key, last) {
			return wrong(id, "keys out of place")
		}
		last = key
		val, ok := span(b, at, pos+ksize, vsize)
		if !ok || pos+ksize < pos {
			return wrong(id, "a value out of place")
		}
		if order.Uint32(b[at:])&leafBucket == 0 {
			continue
		}
		if err := w.bucket(id, val, depth); err != nil {
			return err
		}
	}
	return nil
}

// bucket follows the head of a bucket: a page of its own, or, with page 0, a
// small leaf that stands behind the head.
func (w *inspection) bucket(id uint64, head []byte, depth int) error {
	if len(head) < 16 || depth > deepest {
		return wrong(id, "a bucket out of place")
	}
	if root := order.Uint64(head); root != 0 {
		return w.tree(root, nil, depth+1)
	}
	inline := head[16:]
	if len(inline) < pageHead || order.Uint16(inline[8:]) != flagLeaf {
		return wrong(id, "a bucket out of place")
	}
	return w.leaf(id, inline, nil, depth+1)
}

// span is the n bytes that lie pos behind an element.
func span(b []byte, at int, pos, n uint32) ([]byte, bool) {
	from := uint64(at) + uint64(pos)
	to := from + uint64(n)
	if to > uint64(len(b)) {
		return nil, false
	}
	return b[from:to], true
}

// free checks the list of free pages: none of them is in use.
func (w *inspection) free() error {
	if w.freelist == ^uint64(0) {
		return nil // not kept in the file
	}
	b, err := w.page(w.freelist, 0)
	if err != nil {
		return err
	}
	if order.Uint16(b[8:]) != flagFreelist {
		return wrong(w.freelist, "not the list of free pages")
	}
	count, at := uint64(order.Uint16(b[10:])), pageHead
	if count == 0xFFFF {
		count, at = order.Uint64(b[pageHead:]), pageHead+8
	}
	if count > uint64(len(b)-at)/8 {
		return wrong(w.freelist, "the list of free pages is too long")
	}
	for ; count > 0; count, at = count-1, at+8 {
		id := order.Uint64(b[at:])
		if id < 2 || id >= w.end || w.seen[id/64]&(1<<(id%64)) != 0 {
			return wrong(id, "free and in use")
		}
		w.seen[id/64] |= 1 << (id % 64)
	}
	return nil
}

// inspectFile is inspect for a path.
func inspectFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil {
		err = inspect(f, st.Size())
	}
	return errors.Join(err, f.Close())
}

// forgetLastCommit takes back the newest commit: the head of the one before is
// written over its head. Pages of that commit are not used again before the
// next one, so a disk that lied about the last write has them still.
func forgetLastCommit(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	w := &inspection{r: f, size: st.Size()}
	if err := w.chooseMeta(); err != nil {
		return err
	}
	n, err := w.newest()
	if err != nil {
		return err
	}
	head := make([]byte, pageHead+metaSize)
	if err := w.read(head, int64(1-n)*int64(w.pageSize)); err != nil {
		return err
	}
	if _, ok := readMeta(head[pageHead:]); !ok {
		return fmt.Errorf("the head of the commit before is not right: %w", ErrDamaged)
	}
	order.PutUint64(head, uint64(n)) // its page
	_, err = f.WriteAt(head, int64(n)*int64(w.pageSize))
	return err
}
