package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tagma-db/tagma/machine"
)

// Defaults of PebbleOptions, in bytes.
const (
	DefaultMemTableBytes = 64 << 20
	DefaultCacheBytes    = 64 << 20
)

// PebbleOptions bound the memory of PebbleRows, in bytes.
type PebbleOptions struct {
	MemTableBytes uint64 // written rows held until a flush; 0: DefaultMemTableBytes
	CacheBytes    int64  // blocks read from disk; 0: DefaultCacheBytes
}

// rowsFormat is Pebble's on-disk version, pinned: a newer Pebble must not
// upgrade a store unasked. layout is ours: what stands under which key.
const (
	rowsFormat = pebble.FormatTableFormatV6
	layout     = 1
)

// Keys of Pebble begin with a byte that says whose they are.
const (
	ownPrefix = 0x00 // ours
	rowPrefix = 0x01 // rows, each under its key
	endPrefix = 0x02 // behind all rows
)

var (
	appliedKey = []byte{ownPrefix, 'a'} // position of the last step, 8 bytes
	layoutKey  = []byte{ownPrefix, 'l'} // layout, 1 byte
)

// PebbleRows is a Store on Pebble without its write-ahead log: the node log
// is that. Pebble writes its memory tables to disk in order and whole batches
// only, so what a crash leaves is a prefix of the steps.
type PebbleRows struct {
	db      *pebble.DB
	cache   *pebble.Cache
	batch   *pebble.Batch // the step being built; indexed
	applied atomic.Uint64
	key     []byte // scratch
	values  arena  // of reads since the last write
	recent  recent

	failed chan struct{} // closed with the first error
	once   sync.Once
	err    error // set before failed is closed
}

// OpenPebble opens the rows in dir, or makes an empty store there. On the way
// it syncs every file of dir and drops it from the page cache, so that the
// store shows what the disk has. The errors are those of the disk, and a
// store of another format.
func OpenPebble(fsys FS, dir string, o PebbleOptions) (*PebbleRows, error) {
	if o.MemTableBytes == 0 {
		o.MemTableBytes = DefaultMemTableBytes
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if err := makeDir(fsys, dir); err != nil {
		return nil, err
	}
	if err := readBack(fsys, dir); err != nil {
		return nil, err
	}
	r := &PebbleRows{failed: make(chan struct{}), cache: pebble.NewCache(o.CacheBytes)}
	db, err := pebble.Open(dir, r.options(fsys, o))
	if err != nil {
		r.cache.Unref()
		return nil, fmt.Errorf("storage: rows: %w", err)
	}
	r.db, r.batch = db, db.NewIndexedBatch()
	if err := r.checkFormat(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *PebbleRows) options(fsys FS, o PebbleOptions) *pebble.Options {
	options := &pebble.Options{
		FS:                 gate{fsys, r},
		Cache:              r.cache,
		DisableWAL:         true,
		FormatMajorVersion: rowsFormat,
		MemTableSize:       o.MemTableBytes,
		Logger:             rowsLogger{r},
		EventListener: &pebble.EventListener{
			// Pebble would try again: after a failed sync nobody may.
			BackgroundError: r.fail,
			DataCorruption:  func(info pebble.DataCorruptionInfo) { r.fail(info.Details) },
		},
	}
	options.EnsureDefaults()
	return options
}

// checkFormat refuses stores of other formats and marks a new one.
func (r *PebbleRows) checkFormat() error {
	if v := r.db.FormatMajorVersion(); v != rowsFormat {
		return fmt.Errorf("storage: rows have Pebble format %d, not %d", v, rowsFormat)
	}
	mark, ok := r.get(r.db, layoutKey, &r.values)
	if !ok && r.Err() == nil {
		r.check(r.db.Set(layoutKey, []byte{layout}, pebble.NoSync))
		return r.Err()
	}
	if ok && (len(mark) != 1 || mark[0] != layout) {
		return fmt.Errorf("storage: rows have layout %x, not %d", mark, layout)
	}
	if at, ok := r.get(r.db, appliedKey, &r.values); ok && len(at) == 8 {
		r.applied.Store(binary.BigEndian.Uint64(at))
	}
	return r.Err()
}

// fail makes err the store's error unless it has one.
func (r *PebbleRows) fail(err error) {
	r.once.Do(func() {
		r.err = fmt.Errorf("storage: rows: %w", err)
		close(r.failed)
	})
}

func (r *PebbleRows) check(err error) {
	if err != nil {
		r.fail(err)
	}
}

// Err implements Store.
func (r *PebbleRows) Err() error {
	select {
	case <-r.failed:
		return r.err
	default:
		return nil
	}
}

// rowKey is Pebble's key of a row, valid until the next call.
func (r *PebbleRows) rowKey(key []byte) []byte {
	r.key = append(append(r.key[:0], rowPrefix), key...)
	return r.key
}

// Set implements machine.Rows.
func (r *PebbleRows) Set(key, value []byte) {
	r.values.reset()
	r.recent.set(key, value)
	r.check(r.batch.Set(r.rowKey(key), value, nil))
}

// Delete implements machine.Rows.
func (r *PebbleRows) Delete(key []byte) {
	r.values.reset()
	r.recent.drop(key)
	r.check(r.batch.Delete(r.rowKey(key), nil))
}

// Get implements machine.Rows.
func (r *PebbleRows) Get(key []byte) (value []byte, ok bool) {
	if r.Err() != nil {
		return nil, false
	}
	if value, ok = r.recent.get(key); ok {
		return value, true
	}
	if value, ok = r.lookup(key); ok {
		r.recent.add(key, append([]byte(nil), value...))
	}
	return value, ok
}

func (r *PebbleRows) lookup(key []byte) (value []byte, ok bool) {
	return r.get(r.latest(), r.rowKey(key), &r.values)
}

// latest shows all writes. Without the batch's index it is several times faster.
func (r *PebbleRows) latest() pebble.Reader {
	if r.batch.Empty() {
		return r.db
	}
	return r.batch
}

func (r *PebbleRows) get(from pebble.Reader, key []byte, to *arena) (value []byte, ok bool) {
	if r.Err() != nil {
		return nil, false
	}
	value, closer, err := from.Get(key)
	if err != nil {
		if !errors.Is(err, pebble.ErrNotFound) {
			r.fail(err)
		}
		return nil, false
	}
	value = to.keep(value)
	r.check(closer.Close())
	return value, true
}

// Scan implements machine.Rows.
func (r *PebbleRows) Scan(lo, hi []byte, yield func(key, value []byte) bool) {
	r.scan(r.latest(), lo, hi, false, yield)
}

// ScanBack implements machine.Rows.
func (r *PebbleRows) ScanBack(lo, hi []byte, yield func(key, value []byte) bool) {
	r.scan(r.latest(), lo, hi, true, yield)
}

func (r *PebbleRows) scan(from pebble.Reader, lo, hi []byte, back bool, yield func(key, value []byte) bool) {
	if r.Err() != nil {
		return
	}
	bounds := &pebble.IterOptions{
		LowerBound: append([]byte{rowPrefix}, lo...),
		UpperBound: []byte{endPrefix},
	}
	if hi != nil {
		bounds.UpperBound = append([]byte{rowPrefix}, hi...)
	}
	it, err := from.NewIter(bounds)
	if err != nil {
		r.fail(err)
		return
	}
	first, next := it.First, it.Next
	if back {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		value, err := it.ValueAndErr()
		if err != nil {
			r.fail(err)
			break
		}
		if !yield(it.Key()[1:], value) {
			break
		}
	}
	r.check(it.Close())
}

// Commit implements Store.
func (r *PebbleRows) Commit(applied uint64) {
	r.values.reset()
	if r.Err() != nil {
		return
	}
	r.check(r.batch.Set(appliedKey, binary.BigEndian.AppendUint64(r.key[:0], applied), nil))
	r.check(r.batch.Commit(pebble.NoSync))
	r.check(r.batch.Close())
	r.batch = r.db.NewIndexedBatch()
	r.applied.Store(applied)
}

// Applied implements Store.
func (r *PebbleRows) Applied() uint64 { return r.applied.Load() }

// Flush implements Store. Pebble syncs the new table, its folder and then the
// manifest before it calls a flush done.
func (r *PebbleRows) Flush() (applied uint64, err error) {
	if err := r.Err(); err != nil {
		return 0, err
	}
	applied = r.applied.Load()
	done, err := r.db.AsyncFlush()
	if err != nil {
		r.fail(err)
		return 0, r.Err()
	}
	select {
	case <-done:
	case <-r.failed: // Pebble tries for ever
	}
	return applied, r.Err()
}

// Snapshot implements Store.
func (r *PebbleRows) Snapshot() machine.Snapshot { return &pebbleReader{r: r, at: r.db.NewSnapshot()} }

// Close implements Store.
func (r *PebbleRows) Close() error {
	failed := r.Err()
	err := errors.Join(r.batch.Close(), r.db.Close())
	r.cache.Unref()
	if failed != nil {
		return failed
	}
	return err
}

// Peek implements Store.
func (r *PebbleRows) Peek(key []byte) (value []byte, ok bool) {
	return r.get(r.db, append([]byte{rowPrefix}, key...), nil)
}

// pebbleReader is a machine.Snapshot on a snapshot of Pebble.
type pebbleReader struct {
	r      *PebbleRows
	at     *pebble.Snapshot
	values arena // never reset
}

// Get implements machine.Snapshot.
func (s *pebbleReader) Get(key []byte) (value []byte, ok bool) {
	return s.r.get(s.at, append([]byte{rowPrefix}, key...), &s.values)
}

// Scan implements machine.Snapshot.
func (s *pebbleReader) Scan(lo, hi []byte, yield func(key, value []byte) bool) {
	s.r.scan(s.at, lo, hi, false, yield)
}

// ScanBack implements machine.Snapshot.
func (s *pebbleReader) ScanBack(lo, hi []byte, yield func(key, value []byte) bool) {
	s.r.scan(s.at, lo, hi, true, yield)
}

// Close implements machine.Snapshot.
func (s *pebbleReader) Close() error { return s.at.Close() }

// rowsLogger keeps Pebble quiet. What Pebble takes for the end of the process
// becomes the store's error, and the caller ends it.
type rowsLogger struct{ r *PebbleRows }

// Infof implements pebble.Logger.
func (rowsLogger) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (rowsLogger) Errorf(string, ...any) {}

// Fatalf implements pebble.Logger.
func (l rowsLogger) Fatalf(format string, args ...any) { l.r.fail(fmt.Errorf(format, args...)) }

// arena holds copies of values until its reset. Old chunks are left to those
// who still hold slices of them, so that reading alone needs no bound.
type arena struct{ b []byte }

const arenaChunk = 64 << 10

func (a *arena) reset() { a.b = a.b[:0] }

// keep copies v; a nil arena makes a copy that stands alone.
func (a *arena) keep(v []byte) []byte {
	if a == nil {
		return append(make([]byte, 0, len(v)), v...)
	}
	if len(a.b)+len(v) > cap(a.b) {
		a.b = make([]byte, 0, max(arenaChunk, len(v)))
	}
	at := len(a.b)
	a.b = append(a.b, v...)
	return a.b[at:len(a.b):len(a.b)]
}
