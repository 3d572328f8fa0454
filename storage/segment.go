package storage

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tagma-db/tagma/wire"
)

// segment is one file of the log: records from position first on, all of one
// boot, up to the first position of the next segment.
type segment struct {
	number uint64 // names the file; rises
	first  uint64
	boot   uint64
	used   int64 // bytes written to it; known to the running process only
}

// manifest says which segments are the log. It is replaced as a whole, and
// only after what it names is synced: the one commit point of a start, a new
// segment and a Cut. Big-endian:
//
//	magic 8 | salt 8 | boot 8 | durable 8 | count 2 | count × (number 8, first 8, boot 8) | CRC-32C 4
type manifest struct {
	salt     uint64
	boot     uint64
	durable  uint64    // everything up to it was synced before this was written
	segments []segment // at most maxSegments, by number and by first position
}

const (
	manifestName = "manifest"
	manifestTemp = "manifest.new"
	segmentName  = "%016x.segment"
	spareName    = "%016x.spare"

	maxSegments = 1<<16 - 1
	maxSpares   = 2
	entrySize   = 3 * 8
)

var manifestMagic = [8]byte{'T', 'G', 'M', 'L', 'O', 'G', 0, 1}

func (m manifest) encode() []byte {
	w := wire.Writer{}
	w.Raw(manifestMagic[:])
	w.U64(m.salt)
	w.U64(m.boot)
	w.U64(m.durable)
	w.U16(uint16(len(m.segments)))
	for _, s := range m.segments {
		w.U64(s.number)
		w.U64(s.first)
		w.U64(s.boot)
	}
	w.U32(crc32.Checksum(w.B, castagnoli))
	return w.B
}

// decodeManifest is strict: any flaw makes it wire.ErrMalformed.
func decodeManifest(b []byte) (m manifest, err error) {
	r := wire.NewReader(b)
	magic := r.Raw(len(manifestMagic))
	m.salt, m.boot, m.durable = r.U64(), r.U64(), r.U64()
	m.segments = make([]segment, r.Count(maxSegments, entrySize))
	var last segment
	for i := range m.segments {
		s := segment{number: r.U64(), first: r.U64(), boot: r.U64()}
		if s.number <= last.number || s.first <= last.first && i > 0 || s.boot < last.boot || s.boot > m.boot {
			r.Fail()
		}
		m.segments[i], last = s, s
	}
	sum := crc32.Checksum(b[:len(b)-r.Left()], castagnoli)
	if string(magic) != string(manifestMagic[:]) || r.U32() != sum || last.number == 0 || m.durable+1 < last.first {
		r.Fail()
	}
	return m, r.Done()
}

// begin makes a new segment of whole blocks body, which holds the positions
// first to last, and makes keep and it the log. It is the one way a log
// changes shape: a start, a roll and a Cut differ in body and keep alone.
// When it returns, everything up to last is durable and all other segments
// are recycled or removed. A crash before leaves the log as it was (L2).
func (l *Log) begin(first, last uint64, body []byte, keep []segment) error {
	for len(keep) > 0 && keep[len(keep)-1].first >= first {
		keep = keep[:len(keep)-1] // empty, or replaced as a whole
	}
	if len(keep) >= maxSegments {
		return errors.New("storage: too many log segments: cut the log")
	}
	next := segment{number: l.number + 1, first: first, boot: l.boot, used: int64(len(body))}
	size := max(l.o.SegmentBytes, next.used)
	spare := len(l.spares) > 0 && size == l.o.SegmentBytes
	f, err := l.newFile(next.number, size)
	if err != nil {
		return fmt.Errorf("storage: new log segment: %w", err)
	}
	l.number = next.number
	if _, err = f.WriteAt(body, 0); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(l.o.FS, l.o.Dir)
	}
	segments := append(keep[:len(keep):len(keep)], next)
	if err == nil {
		err = l.writeManifest(manifest{salt: l.salt, boot: l.boot, durable: last, segments: segments})
	}
	if err != nil {
		return fmt.Errorf("storage: new log segment: %w", errors.Join(err, f.Close()))
	}
	old, oldFile := l.segments, l.file
	l.segments, l.file, l.capacity, l.zeroed = segments, f, size, next.used
	if spare {
		l.zeroed = size
	}
	if oldFile != nil {
		if err := oldFile.Close(); err != nil {
			return fmt.Errorf("storage: log segment: %w", err)
		}
	}
	l.size.Store(0)
	for _, s := range segments {
		l.size.Add(s.used)
	}
	l.durable.Store(last)
	return l.recycle(old[min(len(keep), len(old)):])
}

// newFile opens the file of a new segment: a spare one, whose blocks are
// written already so that a sync changes no metadata, or a fresh one. The
// bytes left in a spare are no danger: their positions lie before the
// segment's first, or their boot number is an older one.
func (l *Log) newFile(number uint64, size int64) (vfs.File, error) {
	name := l.path(segmentName, number)
	if n := len(l.spares); n > 0 && size == l.o.SegmentBytes {
		spare := l.path(spareName, l.spares[n-1])
		l.spares = l.spares[:n-1]
		return l.o.FS.ReuseForWrite(spare, name, vfs.WriteCategoryUnspecified)
	}
	if err := l.o.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := l.o.FS.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	if err := f.Preallocate(0, size); errors.Is(err, syscall.ENOSPC) { // others: it is a hint
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (l *Log) writeManifest(m manifest) error {
	temp, name := l.o.FS.PathJoin(l.o.Dir, manifestTemp), l.o.FS.PathJoin(l.o.Dir, manifestName)
	f, err := l.o.FS.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(m.encode())
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := l.o.FS.Rename(temp, name); err != nil {
		return err
	}
	return syncDir(l.o.FS, l.o.Dir)
}

// recycle keeps a few files of segments that left the log as spares, and
// removes the others.
func (l *Log) recycle(gone []segment) error {
	for _, s := range gone {
		name := l.path(segmentName, s.number)
		info, err := l.o.FS.Stat(name)
		if err == nil {
			if len(l.spares) < maxSpares && info.Size() >= l.o.SegmentBytes/2 && info.Size() <= l.o.SegmentBytes {
				l.spares = append(l.spares, s.number)
				err = l.o.FS.Rename(name, l.path(spareName, s.number))
			} else {
				err = l.o.FS.Remove(name)
			}
		}
		if err != nil {
			return fmt.Errorf("storage: old log segment: %w", err)
		}
	}
	return nil
}

func (l *Log) path(format string, number uint64) string {
	return l.o.FS.PathJoin(l.o.Dir, fmt.Sprintf(format, number))
}
