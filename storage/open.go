package storage

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strings"
)

// folder is what lies in the folder of a log.
type folder struct {
	manifest bool
	segments []uint64 // numbers, ascending
	rest     []string // spares and half-made manifests
}

// OpenLog opens the log in o.Dir, or with create makes a new one there. The
// errors are ErrNoLog if there is none to open, ErrLogExists if there is one
// where it was to be created, ErrCorrupt if a record is missing or bad that
// is known to have been durable, and those of the disk and of replay.
//
// It calls replay once for each record of the caller's, in order; record is
// valid during the call only. The log ends at its first bad record: what
// follows is cut, valid or not. When OpenLog returns, all that it replayed is
// durable, whatever the page cache pretended, and so is a boot record of a
// new number. After an error, what was replayed means nothing.
func OpenLog(o LogOptions, create bool, replay func(position uint64, record []byte) error) (*Log, error) {
	if o.FS == nil {
		o.FS = Disk()
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	l := &Log{o: o}
	in, err := l.look()
	if err != nil {
		return nil, err
	}
	last := tailCopy{first: 1}
	switch {
	case create && (in.manifest || len(in.segments) > 0 && in.segments[0] != 1 || len(in.segments) > 1):
		return nil, fmt.Errorf("%w: %s", ErrLogExists, o.Dir)
	case create: // a lone first segment is what a crash during creation leaves
		if err := makeDir(o.FS, o.Dir); err != nil {
			return nil, err
		}
		var salt [8]byte
		rand.Read(salt[:])
		l.salt = binary.BigEndian.Uint64(salt[:])
	case !in.manifest && len(in.segments) == 0:
		return nil, fmt.Errorf("%w: %s", ErrNoLog, o.Dir)
	default:
		if last, err = l.load(in, replay); err != nil {
			return nil, err
		}
	}
	if err := l.start(last, in); err != nil {
		return nil, errors.Join(err, l.Close(false))
	}
	return l, nil
}

// look lists the folder of the log; a missing folder is an empty one.
func (l *Log) look() (in folder, err error) {
	names, err := l.o.FS.List(l.o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return in, nil
	}
	if err != nil {
		return in, fmt.Errorf("storage: node log: %w", err)
	}
	for _, name := range names {
		var number uint64
		switch {
		case name == manifestName:
			in.manifest = true
		case name == manifestTemp, strings.HasSuffix(name, ".spare"):
			in.rest = append(in.rest, name)
		case scan(name, segmentName, &number):
			in.segments = append(in.segments, number)
			l.number = max(l.number, number)
		}
	}
	return in, nil
}

func scan(name, format string, number *uint64) bool {
	n, err := fmt.Sscanf(name, format, number)
	return n == 1 && err == nil && name == fmt.Sprintf(format, *number)
}

// tailCopy is what a start writes anew: the records from position first on of
// segment s, whose file holds buf. keep are the segments before.
type tailCopy struct {
	keep  []segment
	first uint64
	s     segment
	buf   []byte
}

// load replays the log and finds what a start must copy.
func (l *Log) load(in folder, replay func(position uint64, record []byte) error) (last tailCopy, err error) {
	m, err := l.readManifest()
	if err != nil {
		return last, err
	}
	l.salt, l.boot = m.salt, m.boot
	named := m.durable
	for i := range m.segments {
		s := &m.segments[i]
		limit := uint64(math.MaxUint64)
		if i+1 < len(m.segments) {
			limit = m.segments[i+1].first
		}
		buf, err := l.readFile(*s)
		if err != nil {
			return last, err
		}
		next, end, err := walk(buf, l.salt, *s, limit, func(h header, body []byte) error {
			named = max(named, h.durable)
			l.closed = h.kind == kindClosed
			if h.kind != kindRecord {
				return nil
			}
			return replay(h.position, body)
		})
		if err != nil {
			return last, fmt.Errorf("storage: replay: %w", err)
		}
		if next < limit && max(named, witness(buf, end, l.salt)) >= next { // L3
			return last, &CorruptError{next, l.path(segmentName, s.number), int64(end), "a bad record that was durable"}
		}
		s.used = int64(align(end))
		l.next = next
		last = tailCopy{keep: m.segments[:i+1], first: named + 1, s: *s, buf: buf}
	}
	if err := l.checkStrays(in, m); err != nil {
		return last, err
	}
	// A short last segment is copied whole, so that restarts alone do not
	// pile up segments.
	if last.s.used <= l.o.SegmentBytes/4 || last.first < last.s.first {
		last.first = last.s.first
	}
	return last, nil
}

// checkStrays looks into segments that the manifest does not name: leavings
// of a crash. If one knows of more durable records than the log has, then
// the disk forgot a manifest that it had acknowledged.
func (l *Log) checkStrays(in folder, m manifest) error {
	listed := map[uint64]bool{}
	for _, s := range m.segments {
		listed[s.number] = true
	}
	for _, number := range in.segments {
		if listed[number] {
			continue
		}
		buf, err := l.readFile(segment{number: number})
		if err != nil {
			return err
		}
		if witness(buf, 0, l.salt) >= l.next {
			return &CorruptError{l.next, l.path(segmentName, number), 0, "a segment newer than the manifest"}
		}
	}
	return nil
}

func (l *Log) readManifest() (manifest, error) {
	name := l.o.FS.PathJoin(l.o.Dir, manifestName)
	buf, err := readAll(l.o.FS, name)
	if errors.Is(err, fs.ErrNotExist) {
		return manifest{}, &CorruptError{File: name, Reason: "missing, with segments there"}
	}
	if err != nil {
		return manifest{}, fmt.Errorf("storage: node log: %w", err)
	}
	m, err := decodeManifest(buf)
	if err != nil {
		return m, &CorruptError{File: name, Reason: err.Error()}
	}
	return m, nil
}

func (l *Log) readFile(s segment) ([]byte, error) {
	name := l.path(segmentName, s.number)
	buf, err := readAll(l.o.FS, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &CorruptError{s.first, name, 0, "missing segment"}
	}
	if err != nil {
		return nil, fmt.Errorf("storage: node log: %w", err)
	}
	return buf, nil
}

func readAll(fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	buf := make([]byte, info.Size())
	n, err := f.ReadAt(buf, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return buf[:n], errors.Join(err, f.Close())
}

// start makes the log writable: a new segment holds a copy of the records
// beyond the last position named durable, for they may be in the page cache
// only (L4), and the boot record. Files left by a crash are removed. The records of
// a start name nothing durable: what it read may be in the cache only, the
// manifest included, until its own manifest is synced.
func (l *Log) start(last tailCopy, in folder) error {
	l.boot++
	l.next = last.first
	var body []byte
	if last.s.number > 0 {
		l.segments = last.keep
		_, _, err := walk(last.buf, l.salt, last.s, math.MaxUint64, func(h header, record []byte) error {
			if h.position >= last.first {
				body = l.frame(body, h.kind, record)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	body = l.frame(body, kindBoot, nil)
	for _, name := range in.rest {
		if err := l.o.FS.Remove(l.o.FS.PathJoin(l.o.Dir, name)); err != nil {
			return fmt.Errorf("storage: node log: %w", err)
		}
	}
	if err := l.begin(last.first, l.next-1, pad(body), last.keep); err != nil {
		return err
	}
	return l.sweep(in)
}

// sweep removes segment files that are not the log's. Spares of older boots
// go too: a fresh file cannot hold bytes of a start that failed.
func (l *Log) sweep(in folder) error {
	live := map[uint64]bool{}
	for _, s := range l.segments {
		live[s.number] = true
	}
	for _, number := range in.segments {
		if live[number] {
			continue
		}
		err := l.o.FS.Remove(l.path(segmentName, number))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("storage: node log: %w", err)
		}
	}
	return nil
}
