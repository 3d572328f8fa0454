package storage

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// DefaultSegmentBytes is the size of a log segment if LogOptions names none.
const DefaultSegmentBytes = 64 << 20

// Errors of the node log.
var (
	// ErrNoLog says that there is no log to open: amnesia, unless the node is new.
	ErrNoLog = errors.New("storage: no node log")
	// ErrLogExists says that there is a log where one was to be created.
	ErrLogExists = errors.New("storage: node log exists already")
	// ErrCorrupt says that the log lacks records that were durable: amnesia.
	// The error is a *CorruptError.
	ErrCorrupt = errors.New("storage: node log is corrupt")
	// ErrLogClosed says that the log was closed.
	ErrLogClosed = errors.New("storage: node log is closed")
)

// CorruptError says where a log lacks a record that was durable. It is
// ErrCorrupt to errors.Is.
type CorruptError struct {
	Position uint64 // of the first bad record; 0: none can be told
	File     string
	Offset   int64 // bytes into File
	Reason   string
}

// Error implements error.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%v: %s at offset %d, position %d: %s", ErrCorrupt, e.File, e.Offset, e.Position, e.Reason)
}

// Unwrap makes a CorruptError an ErrCorrupt.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// LogOptions say where a log lies.
type LogOptions struct {
	FS           FS     // nil: Disk()
	Dir          string // a folder for the log alone; made if it is created
	SegmentBytes int64  // of a segment, unless one sync needs more; 0: DefaultSegmentBytes
}

// Log is the node log: records in one order, durable as a prefix. See the
// package comment for what it promises.
//
// Append, Next, Durable and Size may be called from any goroutine at any
// time. Sync, Cut and Close wait for each other.
type Log struct {
	o    LogOptions
	salt uint64
	boot uint64

	closed  bool // the last record before this start
	durable atomic.Uint64
	size    atomic.Int64

	mu      sync.Mutex // guards the four below; never held during disk work
	pending []byte     // framed records not yet written; bounded by the caller's syncs
	next    uint64
	err     error  // sticky
	idle    []byte // the buffer that pending and Sync swap; empty

	disk     sync.Mutex // guards what follows; taken before mu
	file     vfs.File   // of the last segment
	capacity int64      // bytes of the last segment
	zeroed   int64      // bytes of it that have been written, with zeros ahead of use
	segments []segment  // in order
	number   uint64     // last segment number used
	spares   []uint64   // at most maxSpares
}

// maxIdle bounds the buffers kept between syncs, in bytes.
const maxIdle = 4 << 20

// Append takes one record of at most MaxRecord bytes, which may be reused
// after the call, and returns its position. Positions rise; they have gaps,
// since the log numbers its own records too. The record is in memory until
// Sync; Append never waits for the disk and never fails: after a failure of
// the disk it does nothing, and Sync reports it. A larger record panics.
func (l *Log) Append(record []byte) (position uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		l.next++
		return l.next - 1
	}
	position = l.next
	l.pending = l.frame(l.pending, kindRecord, record)
	return position
}

// frame appends the record of the next position to buf. l.mu is held.
func (l *Log) frame(buf []byte, k kind, body []byte) []byte {
	if len(body) > MaxRecord {
		panic("storage: log record of " + strconv.Itoa(len(body)) + " bytes: the caller broke a bound")
	}
	h := header{kind: k, position: l.next, boot: l.boot, durable: l.durable.Load()}
	l.next++
	return appendRecord(buf, l.salt, h, body)
}

// Sync makes every record durable that was appended before the call and
// returns the position up to which the log is. The first error is sticky and
// the end of this log: nothing later is durable, and the process must end.
func (l *Log) Sync() (durable uint64, err error) {
	l.disk.Lock()
	defer l.disk.Unlock()
	return l.sync()
}

func (l *Log) sync() (uint64, error) {
	l.mu.Lock()
	buf, last, err := l.pending, l.next-1, l.err
	if err == nil && len(buf) > 0 {
		l.pending, l.idle = l.idle, nil
	}
	l.mu.Unlock()
	if err != nil || len(buf) == 0 {
		return l.Durable(), err
	}
	buf = pad(buf)
	if err := l.write(buf, last); err != nil {
		return l.Durable(), l.fail(err)
	}
	l.release(buf)
	return last, nil
}

// ahead adds zeros behind blocks, which end at end, if a fresh file has no
// written ones there: the first write to a preallocated block changes the file
// system's metadata and makes its sync twice as slow, so that is done for many
// blocks at once. Zeros are what a preallocated block reads as, and no record.
func (l *Log) ahead(blocks []byte, end int64) []byte {
	if end <= l.zeroed {
		return blocks
	}
	zeros := min(l.o.SegmentBytes/zeroedShare/BlockSize*BlockSize, l.capacity-end)
	l.zeroed = end + zeros
	return append(blocks[:len(blocks):len(blocks)], make([]byte, zeros)...)
}

// zeroedShare is the part of a segment that is written ahead: 1/256.
const zeroedShare = 256

// write puts whole blocks, which end with position last, behind the log (L5)
// and makes them durable (L1).
func (l *Log) write(blocks []byte, last uint64) error {
	s := &l.segments[len(l.segments)-1]
	if s.used+int64(len(blocks)) > l.capacity {
		return l.begin(l.Durable()+1, last, blocks, l.segments)
	}
	end := s.used + int64(len(blocks))
	_, err := l.file.WriteAt(l.ahead(blocks, end), s.used)
	if err == nil {
		err = l.file.SyncData()
	}
	if err != nil {
		return fmt.Errorf("storage: log segment %016x: %w", s.number, err)
	}
	s.used = end
	l.size.Add(int64(len(blocks)))
	l.durable.Store(last)
	return nil
}

// release keeps buf for later appends, unless a burst made it large.
func (l *Log) release(buf []byte) {
	if cap(buf) > maxIdle {
		return
	}
	l.mu.Lock()
	l.idle = buf[:0]
	l.mu.Unlock()
}

// fail makes err sticky unless another is, and returns the one that is.
func (l *Log) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err, l.pending, l.idle = err, nil, nil
	}
	return l.err
}

// Cut makes carry, at new positions, the whole log: it starts a new segment
// with it, syncs that and the folder, and recycles or removes all older
// segments. The caller promises that carry holds whatever is still needed of
// all that was appended before, synced or not, and appends nothing else
// during the call that carry lacks. A crash at any point leaves one of two
// logs: the old one, with every record that was durable and none of carry, or
// carry alone. Errors are sticky, as those of Sync.
func (l *Log) Cut(carry [][]byte) error {
	l.disk.Lock()
	defer l.disk.Unlock()
	l.mu.Lock()
	if l.err != nil {
		defer l.mu.Unlock()
		return l.err
	}
	body, first := l.pending[:0], l.next
	for _, record := range carry {
		body = l.frame(body, kindRecord, record)
	}
	last := l.next - 1
	l.pending, l.idle = l.idle, nil
	l.mu.Unlock()

	body = pad(body)
	if err := l.begin(first, last, body, nil); err != nil {
		return l.fail(err)
	}
	l.release(body)
	return nil
}

// Close ends the use of the log. A clean close syncs everything, then writes
// the closed record and syncs that: only then may the node's stop be called
// clean. Any other drops what is not synced. The error is that of Sync.
func (l *Log) Close(clean bool) error {
	l.disk.Lock()
	defer l.disk.Unlock()
	var err error
	if clean {
		if _, err = l.sync(); err == nil {
			l.mu.Lock()
			l.pending = l.frame(l.pending, kindClosed, nil)
			l.mu.Unlock()
			_, err = l.sync()
		}
	}
	if errors.Is(err, ErrLogClosed) {
		return err
	}
	if l.fail(ErrLogClosed); l.file != nil {
		err = errors.Join(err, l.file.Close())
		l.file = nil
	}
	return err
}

// Durable returns the position up to which everything is durable.
func (l *Log) Durable() uint64 { return l.durable.Load() }

// Next returns the position that the next Append gets, if no Cut or
// Close comes between.
func (l *Log) Next() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// Boot returns the number of this start: 1 for a new log, then rising by one.
func (l *Log) Boot() uint64 { return l.boot }

// Closed reports whether the last record before this start was the closed
// record of a clean stop. It is true for one start only.
func (l *Log) Closed() bool { return l.closed }

// Size returns the bytes written to the segments of the log.
func (l *Log) Size() int64 { return l.size.Load() }
