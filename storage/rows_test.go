package storage

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tagma-db/tagma/machine"
)

var (
	_ Store = (*PebbleRows)(nil)
	_ Store = (*MemRows)(nil)
)

const rowsDir = "/node/rows"

var small = PebbleOptions{MemTableBytes: 64 << 10, CacheBytes: 1 << 20}

func mustOpenRows(t testing.TB, fsys FS) *PebbleRows {
	t.Helper()
	r, err := OpenPebble(fsys, rowsDir, small)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// reads is what Store and Reader share.
type reads interface {
	Get(key []byte) (value []byte, ok bool)
	Scan(lo, hi []byte, yield func(key, value []byte) bool)
	ScanBack(lo, hi []byte, yield func(key, value []byte) bool)
}

// alike compares a store with a model, by points, ranges, and backwards.
func alike(t *testing.T, random *rand.Rand, from reads, model map[string]string) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(model))
	check := func(lo, hi []byte) {
		var want, up, down []string
		for _, k := range keys {
			if k >= string(lo) && (hi == nil || k < string(hi)) {
				want = append(want, k+"="+model[k])
			}
		}
		from.Scan(lo, hi, func(k, v []byte) bool { up = append(up, string(k)+"="+string(v)); return true })
		from.ScanBack(lo, hi, func(k, v []byte) bool { down = append(down, string(k)+"="+string(v)); return true })
		if slices.Reverse(down); !slices.Equal(up, want) || !slices.Equal(down, want) {
			t.Fatalf("%T [%q,%q): got %.200q and %.200q, want %.200q", from, lo, hi, up, down, want)
		}
	}
	check(nil, nil)
	for range 3 {
		lo, hi := someKey(random), someKey(random)
		if string(lo) < string(hi) {
			check(lo, hi)
		}
		v, ok := from.Get(lo)
		if want, there := model[string(lo)]; ok != there || string(v) != want {
			t.Fatalf("%T get %q: %.50q %v, want %.50q", from, lo, v, ok, want)
		}
		n := 0
		from.Scan(lo, nil, func(_, _ []byte) bool { n++; return n < 2 })
		if n > 2 {
			t.Fatal("scan went on")
		}
	}
}

func someKey(random *rand.Rand) []byte {
	if random.IntN(50) == 0 {
		return []byte{}
	}
	return []byte(fmt.Sprint(random.IntN(300)))
}

// mutate makes one random write in the stores and the model.
func mutate(random *rand.Rand, model map[string]string, stores ...Store) {
	key := someKey(random)
	if random.IntN(4) == 0 {
		delete(model, string(key))
		for _, s := range stores {
			s.Delete(key)
		}
		return
	}
	value := strings.Repeat(fmt.Sprint(random.IntN(1000)), random.IntN(40))
	model[string(key)] = value
	for _, s := range stores {
		s.Set(key, []byte(value))
	}
}

// TestRowsAlike runs both stores and a model through one history.
func TestRowsAlike(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 2))
		p, m := mustOpenRows(t, NewCrashFS(random.IntN)), NewMemRows()
		model := map[string]string{}
		committed := map[string]string{}
		for i := range uint64(150) {
			var snapshots [2]machine.Snapshot
			for j := range random.IntN(12) {
				mutate(random, model, p, m)
				if j == 3 {
					alike(t, random, p, model)
					alike(t, random, m, model)
				}
			}
			snapshots[0], snapshots[1] = p.Snapshot(), m.Snapshot()
			p.Commit(i)
			m.Commit(i)
			mutate(random, model, p, m)
			for _, s := range snapshots {
				alike(t, random, s, committed)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			p.Commit(i)
			m.Commit(i)
			committed = maps.Clone(model)
			if p.Applied() != i || m.Applied() != i {
				t.Fatal("applied")
			}
			if random.IntN(20) == 0 {
				for _, s := range []Store{p, m} {
					if at, err := s.Flush(); at != i || err != nil {
						t.Fatal(at, err)
					}
				}
			}
		}
		alike(t, random, p, model)
		alike(t, random, m, model)
		if err := errors.Join(p.Close(), m.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// steps remembers the rows of every step, by position.
type steps struct {
	states  map[uint64]map[string]string
	at      uint64
	flushed uint64
}

func (s *steps) run(t *testing.T, random *rand.Rand, store Store) {
	model := maps.Clone(s.states[s.at])
	for range random.IntN(40) {
		for range random.IntN(6) {
			mutate(random, model, store)
		}
		if random.IntN(8) == 0 { // enough to make Pebble flush by itself
			value := strings.Repeat("large", 6000)
			store.Set([]byte("large"), []byte(value))
			model["large"] = value
		}
		s.at++
		store.Commit(s.at)
		s.states[s.at] = maps.Clone(model)
		if random.IntN(10) == 0 {
			at, err := store.Flush()
			if err != nil {
				t.Fatal(err)
			}
			s.flushed = at
		}
	}
	mutate(random, model, store) // of a step that does not end
}

func (s *steps) judge(t *testing.T, random *rand.Rand, store Store) {
	t.Helper()
	if at := store.Applied(); at < s.flushed || at > s.at {
		t.Fatalf("applied %d, flushed %d, committed %d", at, s.flushed, s.at)
	}
	s.at = store.Applied()
	alike(t, random, store, s.states[s.at])
}

// TestRowsCrash: after a power loss the rows are those of the step that
// Applied names, and it is not before the last flush.
func TestRowsCrash(t *testing.T) {
	unasked := 0 // times that Pebble had flushed some, not all, by itself
	for seed := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, 3))
		fsys := NewCrashFS(random.IntN)
		s := &steps{states: map[uint64]map[string]string{0: {}}}
		for range 4 {
			store := mustOpenRows(t, fsys)
			if at := store.Applied(); at > s.flushed && at < s.at {
				unasked++
			}
			s.judge(t, random, store)
			s.run(t, random, store)
			if random.IntN(4) == 0 { // a kill: nothing synced is lost, nor shown in part
				if err := store.Close(); err != nil {
					t.Fatal(err)
				}
				continue
			}
			fsys = fsys.Crash()
			store.Close()
		}
	}
	if unasked < 20 {
		t.Fatal("the test does not see Pebble's own flushes:", unasked)
	}
}

func TestMemRowsCrash(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 4))
		s := &steps{states: map[uint64]map[string]string{0: {}}}
		store := NewMemRows()
		for range 4 {
			s.judge(t, random, store)
			s.run(t, random, store)
			store = store.Crash(random.IntN)
		}
	}
}

// TestRowsFailedSync: an error of the disk is final, and what a failed sync
// lost is not shown after it.
func TestRowsFailedSync(t *testing.T) {
	for n := 1; n <= 12; n++ {
		random := rand.New(rand.NewPCG(uint64(n), 5))
		fsys := NewCrashFS(random.IntN)
		s := &steps{states: map[uint64]map[string]string{0: {}}}
		store := mustOpenRows(t, fsys)
		fsys.FailSync(n)
		for range 12 {
			s.at++
			store.Set([]byte("k"), []byte(fmt.Sprint(s.at)))
			state := maps.Clone(s.states[s.at-1])
			state["k"] = fmt.Sprint(s.at)
			s.states[s.at] = state
			store.Commit(s.at)
			at, err := store.Flush()
			if err != nil {
				break
			}
			s.flushed = at
		}
		if err := store.Err(); !errors.Is(err, ErrSyncFault) {
			t.Fatal(n, err)
		}
		if _, ok := store.Get([]byte("k")); ok {
			t.Fatal("read after an error")
		}
		if _, err := store.Flush(); !errors.Is(err, ErrSyncFault) {
			t.Fatal(err)
		}
		after := fsys.Crash()
		store.Close()
		store = mustOpenRows(t, after)
		s.judge(t, random, store)
		store.Close()
	}
}

// TestReadBack: a file whose sync failed shows, after a read back, the disk.
func TestReadBack(t *testing.T) {
	fsys := NewCrashFS(func(int) int { return 1 }) // a failed sync keeps nothing
	if err := makeDir(fsys, "/d/sub"); err != nil {
		t.Fatal(err)
	}
	f, _ := fsys.Create("/d/sub/f", "")
	f.Write([]byte("lost"))
	fsys.FailSync(1)
	if err := f.Sync(); !errors.Is(err, ErrSyncFault) {
		t.Fatal(err)
	}
	if b, _ := readAll(fsys, "/d/sub/f"); string(b) != "lost" {
		t.Fatalf("the cache should lie: %q", b)
	}
	if err := readBack(fsys, "/d"); err != nil {
		t.Fatal(err)
	}
	if b, _ := readAll(fsys, "/d/sub/f"); string(b) != "\x00\x00\x00\x00" {
		t.Fatalf("%q", b) // the size is metadata and was synced by the next sync
	}
	dir := t.TempDir()
	r, err := OpenPebble(Disk(), dir, small)
	if err != nil {
		t.Fatal(err)
	}
	r.Set([]byte("k"), []byte("v"))
	r.Commit(9)
	if _, err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if r, err = OpenPebble(Disk(), dir, small); err != nil || r.Applied() != 9 {
		t.Fatal(err)
	}
	r.Close()
}

func TestRowsRefuseOtherFormats(t *testing.T) {
	fsys := NewCrashFS(seeded(1))
	r := mustOpenRows(t, fsys)
	if err := r.db.Set(layoutKey, []byte{layout + 1}, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	r.Flush()
	r.Close()
	if _, err := OpenPebble(fsys, rowsDir, small); err == nil {
		t.Fatal("opened another layout")
	}
	fsys = NewCrashFS(seeded(1))
	db, err := pebble.Open(rowsDir, &pebble.Options{FS: fsys, FormatMajorVersion: pebble.FormatValueSeparation, Logger: rowsLogger{}})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	if _, err := OpenPebble(fsys, rowsDir, small); err == nil {
		t.Fatal("opened a newer format")
	}
}
