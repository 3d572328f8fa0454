package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const logDir = "/node/log"

// kept is a record as replayed or appended.
type kept struct {
	position uint64
	record   string
}

func seeded(seed uint64) func(int) int { return rand.New(rand.NewPCG(seed, 7)).IntN }

func options(fsys FS) LogOptions {
	return LogOptions{FS: fsys, Dir: logDir, SegmentBytes: 64 << 10}
}

func openLog(o LogOptions, create bool) (l *Log, got []kept, err error) {
	l, err = OpenLog(o, create, func(position uint64, record []byte) error {
		got = append(got, kept{position, string(record)})
		return nil
	})
	return l, got, err
}

func mustOpen(t testing.TB, o LogOptions, create bool) (*Log, []kept) {
	t.Helper()
	l, got, err := openLog(o, create)
	if err != nil {
		t.Fatal(err)
	}
	return l, got
}

func mustSync(t testing.TB, l *Log) {
	t.Helper()
	if durable, err := l.Sync(); err != nil || durable != l.Durable() {
		t.Fatal(durable, err)
	}
}

func appendTo(l *Log, records ...string) (out []kept) {
	for _, r := range records {
		out = append(out, kept{l.Append([]byte(r)), r})
	}
	return out
}

func same(t testing.TB, got, want []kept) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %d records, want %d\n got %.300v\nwant %.300v", len(got), len(want), got, want)
	}
}

func TestLogRoundTrip(t *testing.T) {
	for name, o := range map[string]LogOptions{
		"memory": options(NewCrashFS(seeded(1))),
		"disk":   {Dir: t.TempDir() + "/log", SegmentBytes: 64 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := mustOpen(t, o, true)
			want := appendTo(l, "", "one", strings.Repeat("x", 5000))
			if next := l.Next(); next != want[2].position+1 {
				t.Fatal("next", next)
			}
			mustSync(t, l)
			for i := range 60 { // over several segments, one larger than the option
				want = append(want, appendTo(l, strings.Repeat(fmt.Sprint(i), 3000+i), "s")...)
				if i == 30 {
					want = append(want, appendTo(l, strings.Repeat("big", 50_000))...)
				}
				mustSync(t, l)
			}
			if len(l.segments) < 4 {
				t.Fatal("segments", len(l.segments))
			}
			before := len(l.segments)
			for boot := uint64(2); boot < 6; boot++ {
				if err := l.Close(false); err != nil {
					t.Fatal(err)
				}
				var got []kept
				l, got = mustOpen(t, o, false)
				same(t, got, want)
				if l.Boot() != boot || l.Closed() {
					t.Fatal(l.Boot(), l.Closed())
				}
				want = append(want, appendTo(l, "after")...)
				mustSync(t, l)
			}
			if n := len(l.segments); n > before+1 {
				t.Fatal("restarts piled up segments:", n)
			}
		})
	}
}

func TestLogOpenErrors(t *testing.T) {
	o := options(NewCrashFS(seeded(1)))
	if _, _, err := openLog(o, false); !errors.Is(err, ErrNoLog) {
		t.Fatal(err)
	}
	l, _ := mustOpen(t, o, true)
	if _, _, err := openLog(o, true); !errors.Is(err, ErrLogExists) {
		t.Fatal(err)
	}
	appendTo(l, "r")
	mustSync(t, l)
	boom := errors.New("boom")
	if _, err := OpenLog(o, false, func(uint64, []byte) error { return boom }); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if err := o.FS.Remove(logDir + "/" + manifestName); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openLog(o, false); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

func TestLogClosed(t *testing.T) {
	o := options(NewCrashFS(seeded(1)))
	l, _ := mustOpen(t, o, true)
	want := appendTo(l, "unsynced")
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Sync(); !errors.Is(err, ErrLogClosed) {
		t.Fatal(err)
	}
	if err := l.Close(true); !errors.Is(err, ErrLogClosed) {
		t.Fatal(err)
	}
	l, got := mustOpen(t, o, false)
	same(t, got, want)
	if !l.Closed() {
		t.Fatal("not closed")
	}
	if err := l.Close(false); err != nil {
		t.Fatal(err)
	}
	if l, _ = mustOpen(t, o, false); l.Closed() {
		t.Fatal("the boot record did not void the closed one")
	}
}

// TestLogMissing removes each file in turn.
func TestLogMissing(t *testing.T) {
	for i := 0; ; i++ {
		fsys := NewCrashFS(seeded(1))
		l, _ := mustOpen(t, options(fsys), true)
		for range 20 {
			appendTo(l, strings.Repeat("y", 9000))
			mustSync(t, l)
		}
		names, _ := fsys.List(logDir)
		if i == len(names) {
			break
		}
		if err := fsys.Remove(logDir + "/" + names[i]); err != nil {
			t.Fatal(err)
		}
		if _, _, err := openLog(options(fsys), false); !errors.Is(err, ErrCorrupt) {
			t.Fatal(names[i], err)
		}
	}
}

func TestLogRecycles(t *testing.T) {
	fsys := NewCrashFS(seeded(1))
	l, _ := mustOpen(t, options(fsys), true)
	var want []kept
	for i := range 200 {
		want = append(want, appendTo(l, strings.Repeat(fmt.Sprint(i%10), 7000))...)
		mustSync(t, l)
		if i%25 == 24 {
			last := want[len(want)-1].record
			if err := l.Cut([][]byte{[]byte("carry"), []byte(last)}); err != nil {
				t.Fatal(err)
			}
			d := l.Durable()
			want = []kept{{d - 1, "carry"}, {d, last}}
			if l.Size() > 16<<10 {
				t.Fatal("size", l.Size())
			}
		}
		_, got := mustOpen(t, options(fsys.Crash()), false)
		same(t, got, want)
	}
	names, _ := fsys.List(logDir)
	if len(l.spares) == 0 || len(names) > len(l.segments)+maxSpares+1 {
		t.Fatal(l.spares, names)
	}
}

func TestLogCutEmpty(t *testing.T) {
	fsys := NewCrashFS(seeded(1))
	l, _ := mustOpen(t, options(fsys), true)
	appendTo(l, "gone")
	if err := l.Cut(nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var got []kept
		l, got = mustOpen(t, options(fsys.Crash()), false)
		same(t, got, nil)
	}
	if err := l.Cut(nil); err != nil {
		t.Fatal(err)
	}
	want := appendTo(l, strings.Repeat("larger than a segment", 5000)) // rolls at once
	mustSync(t, l)
	_, got := mustOpen(t, l.o, false)
	same(t, got, want)
}

// TestLogFailedSync: the error is sticky, and what the page cache still shows
// after it is lost by no later power cut, if it was replayed.
func TestLogFailedSync(t *testing.T) {
	for seed := range uint64(300) {
		random := seeded(seed)
		fsys := NewCrashFS(random)
		l, _ := mustOpen(t, options(fsys), true)
		want := appendTo(l, "first")
		mustSync(t, l)
		durable := l.Durable()
		fsys.FailSync(1)
		all := append(want, appendTo(l, "second", strings.Repeat("third", 3000))...)
		if _, err := l.Sync(); !errors.Is(err, ErrSyncFault) {
			t.Fatal(err)
		}
		l.Append([]byte("never"))
		if d, err := l.Sync(); !errors.Is(err, ErrSyncFault) || d != durable {
			t.Fatal(d, err)
		}
		if err := l.Cut(nil); !errors.Is(err, ErrSyncFault) {
			t.Fatal(err)
		}
		if err := l.Close(true); !errors.Is(err, ErrSyncFault) {
			t.Fatal(err)
		}
		l, got := mustOpen(t, options(fsys), false) // the cache shows all
		same(t, got, all)
		more := appendTo(l, "fourth")
		mustSync(t, l)
		_, got = mustOpen(t, options(fsys.Crash()), false)
		same(t, got, append(all, more...))
	}
}

// TestLogConcurrent appends while syncs run; the race detector watches.
func TestLogConcurrent(t *testing.T) {
	fsys := NewCrashFS(seeded(1))
	l, _ := mustOpen(t, options(fsys), true)
	var group sync.WaitGroup
	var want []kept
	done := make(chan struct{})
	group.Go(func() {
		for i := range 5000 {
			want = append(want, appendTo(l, fmt.Sprint("record ", i))...)
		}
		close(done)
	})
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		mustSync(t, l)
	}
	group.Wait()
	mustSync(t, l)
	_, got := mustOpen(t, options(fsys.Crash()), false)
	same(t, got, want)
}

// TestAppendDuringSync: an Append does not wait for the disk.
func TestAppendDuringSync(t *testing.T) {
	slow := &slowFS{FS: NewCrashFS(seeded(1)), entered: make(chan struct{}), leave: make(chan struct{})}
	l, _ := mustOpen(t, options(slow), true)
	first := l.Append([]byte("first"))
	slow.on = true
	result := make(chan uint64)
	go func() {
		durable, _ := l.Sync()
		result <- durable
	}()
	<-slow.entered
	second := l.Append([]byte("second"))
	close(slow.leave)
	if durable := <-result; durable != first || second != first+1 {
		t.Fatal(durable, first, second)
	}
}

// slowFS holds each SyncData until it is told to let go.
type slowFS struct {
	FS
	on             bool
	entered, leave chan struct{}
}

type slowFile struct {
	vfs.File
	fs *slowFS
}

func (s *slowFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := s.FS.OpenReadWrite(name, c, o...)
	return slowFile{f, s}, err
}

func (f slowFile) SyncData() error {
	if f.fs.on {
		f.fs.entered <- struct{}{}
		<-f.fs.leave
	}
	return f.File.SyncData()
}

// TestLogBlocks: writes are whole blocks, each written once (L5).
func TestLogBlocks(t *testing.T) {
	blocks := &blockFS{FS: NewCrashFS(seeded(1)), ends: map[string]int64{}}
	l, _ := mustOpen(t, options(blocks), true)
	for i := range 100 {
		appendTo(l, strings.Repeat("b", i*97))
		mustSync(t, l)
	}
	if len(blocks.ends) < 5 || blocks.bad != "" {
		t.Fatal(blocks.ends, blocks.bad)
	}
}

// blockFS notes writes that break L5.
type blockFS struct {
	FS
	ends map[string]int64
	bad  string
}

type blockFile struct {
	vfs.File
	fs   *blockFS
	name string
}

func (s *blockFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := s.FS.OpenReadWrite(name, c, o...)
	return blockFile{f, s, name}, err
}

func (f blockFile) WriteAt(p []byte, off int64) (int, error) {
	if off != f.fs.ends[f.name] || off%BlockSize != 0 || len(p)%BlockSize != 0 {
		f.fs.bad = fmt.Sprint(f.name, off, len(p))
	}
	f.fs.ends[f.name] = off + int64(len(p))
	return f.File.WriteAt(p, off)
}

func TestManifestCodec(t *testing.T) {
	m := manifest{salt: 5, boot: 3, durable: 40, segments: []segment{{2, 1, 1, 0}, {5, 30, 3, 0}}}
	b := m.encode()
	got, err := decodeManifest(b)
	if err != nil || !bytes.Equal(got.encode(), b) {
		t.Fatal(got, err)
	}
	for i := range b {
		for bit := range 8 {
			c := slices.Clone(b)
			c[i] ^= 1 << bit
			if _, err := decodeManifest(c); err == nil {
				t.Fatal("flipped bit", i, bit)
			}
		}
		if _, err := decodeManifest(b[:i]); err == nil {
			t.Fatal("cut at", i)
		}
	}
}

func TestLockDir(t *testing.T) {
	for _, fsys := range []FS{Disk(), NewCrashFS(seeded(1))} {
		dir := t.TempDir() + "/a/b"
		lock, err := LockDir(fsys, dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := LockDir(fsys, dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Fatal("locked twice", err)
		}
		if err := lock.Close(); err != nil {
			t.Fatal(err)
		}
		if lock, err = LockDir(fsys, dir); err != nil {
			t.Fatal(err)
		}
		lock.Close()
	}
}

func TestFree(t *testing.T) {
	if free, total, err := Free(t.TempDir()); err != nil || free > total || total == 0 {
		t.Fatal(free, total, err)
	}
}

// TestWalkRefuses: authentic records in a wrong place are bad.
func TestWalkRefuses(t *testing.T) {
	const salt = 99
	right := header{kind: kindRecord, position: 5, boot: 2, durable: 3}
	for name, spoil := range map[string]func(h *header, salt *uint64){
		"none":             func(*header, *uint64) {},
		"another position": func(h *header, _ *uint64) { h.position = 6 },
		"an older boot":    func(h *header, _ *uint64) { h.boot = 1 },
		"another log":      func(_ *header, salt *uint64) { *salt++ },
		"kind":             func(h *header, _ *uint64) { h.kind = 9 },
		"durable":          func(h *header, _ *uint64) { h.durable = 6 },
	} {
		h, s := right, uint64(salt)
		spoil(&h, &s)
		buf := pad(appendRecord(nil, s, h, []byte("body")))
		next, end, _ := walk(buf, salt, segment{first: 5, boot: 2}, 100, func(header, []byte) error { return nil })
		if good := name == "none"; (next == 6) != good || (end > 0) != good {
			t.Fatal(name, next, end)
		}
	}
}
