package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// history drives one log through random appends, syncs, cuts, kills, failed
// syncs and power losses, and knows what each start may replay.
type history struct {
	t       *testing.T
	random  *rand.Rand
	fs      *CrashFS
	log     *Log
	want    []kept // appended since the last Cut, or carried by it
	durable uint64
	carried []kept // by a Cut that failed
	cut     bool   // there was one
	boot    uint64
	serial  int
	starts  int
}

func (h *history) record() []byte {
	h.serial++
	size := h.random.IntN(200)
	if h.random.IntN(10) == 0 {
		size = h.random.IntN(12_000)
	}
	return []byte(fmt.Sprint(h.serial, ":", strings.Repeat("z", size)))
}

// step does one thing; false means that the log is dead.
func (h *history) step() bool {
	var err error
	switch h.random.IntN(12) {
	case 0:
		h.fs.CutPower(1 + h.random.IntN(25))
	case 1:
		h.fs.FailSync(1 + h.random.IntN(8))
	case 2:
		err = h.cutLog()
	case 3, 4, 5, 6:
		var d uint64
		if d, err = h.log.Sync(); err == nil {
			if n := len(h.want); n > 0 && d < h.want[n-1].position {
				h.t.Fatal("sync said", d)
			}
		}
		h.durable = max(h.durable, d)
	case 7:
		if h.random.IntN(4) == 0 {
			h.log.Close(h.random.IntN(2) == 0)
			return false
		}
	default:
		r := h.record()
		h.want = append(h.want, kept{h.log.Append(r), string(r)})
	}
	return err == nil
}

func (h *history) cutLog() error {
	var carry [][]byte
	var carried []kept
	for i := range h.random.IntN(4) {
		r := h.record()
		carry = append(carry, r)
		carried = append(carried, kept{h.log.Next() + uint64(i), string(r)})
	}
	err := h.log.Cut(carry)
	if err != nil {
		h.cut, h.carried = true, carried
		return err
	}
	h.want, h.durable = carried, h.log.Durable()
	return nil
}

// restart opens the log after a kill or a power loss, and judges the replay.
func (h *history) restart() {
	for {
		if h.log == nil || h.random.IntN(3) > 0 {
			h.fs = h.fs.Crash()
		} else {
			h.fs.CutPower(0)
			h.fs.FailSync(0)
		}
		if h.random.IntN(3) == 0 { // the start itself may fail
			h.fs.CutPower(1 + h.random.IntN(15))
		}
		if h.random.IntN(6) == 0 {
			h.fs.FailSync(1 + h.random.IntN(5))
		}
		l, got, err := openLog(options(h.fs), false)
		if errors.Is(err, ErrPowerCut) || errors.Is(err, ErrSyncFault) {
			h.log = nil
			if h.random.IntN(2) == 0 {
				h.log = &Log{} // a kill
			}
			continue
		}
		if err != nil {
			h.t.Fatal(err)
		}
		h.judge(got)
		if l.Boot() <= h.boot {
			h.t.Fatal("boot", l.Boot(), "after", h.boot)
		}
		h.log, h.boot, h.want, h.cut = l, l.Boot(), got, false
		h.durable = l.Durable()
		h.fs.CutPower(0)
		h.fs.FailSync(0)
		h.starts++
		return
	}
}

func (h *history) judge(got []kept) {
	if h.cut && slices.Equal(got, h.carried) {
		return
	}
	if len(got) > len(h.want) || !slices.Equal(got, h.want[:len(got)]) {
		h.t.Fatalf("replayed %.200v of %.200v", got, h.want)
	}
	if n := len(got); n < len(h.want) && h.want[n].position <= h.durable {
		h.t.Fatalf("lost position %d, durable was %d", h.want[n].position, h.durable)
	}
}

// TestLogHistories traces L1, L2 and L4.
func TestLogHistories(t *testing.T) {
	starts := 0
	for seed := range uint64(3000) {
		random := rand.New(rand.NewPCG(seed, 1))
		h := &history{t: t, random: random, fs: NewCrashFS(random.IntN)}
		h.log, _ = mustOpen(t, options(h.fs), true)
		for range 60 {
			if !h.step() || random.IntN(30) == 0 {
				h.restart()
			}
			if t.Failed() {
				t.Fatal("seed", seed)
			}
		}
		starts += h.starts
	}
	t.Log("starts:", starts)
}

// TestLogCutCrash cuts the power at each change that a Cut, a roll or a start
// makes, and looks at many ways in which that may end.
func TestLogCutCrash(t *testing.T) {
	steps := map[string]func(l *Log) error{
		"cut":   func(l *Log) error { return l.Cut([][]byte{[]byte("a"), []byte("b")}) },
		"roll":  func(l *Log) error { l.Append(make([]byte, 60_000)); _, err := l.Sync(); return err },
		"start": func(l *Log) error { _, _, err := openLog(l.o, false); return err },
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			for n, done := 1, false; !done; n++ {
				fsys := NewCrashFS(seeded(uint64(n)))
				l, _ := mustOpen(t, options(fsys), true)
				old := appendTo(l, "old", strings.Repeat("o", 6000))
				mustSync(t, l)
				first := l.Next()
				fsys.CutPower(n)
				err := step(l)
				if done = err == nil; !done && !errors.Is(err, ErrPowerCut) {
					t.Fatal(err)
				}
				for range 200 {
					_, got := mustOpen(t, options(fsys.Crash()), false)
					isNew := name == "cut" && slices.Equal(got, []kept{{first, "a"}, {first + 1, "b"}})
					if name == "roll" && len(got) == 3 {
						isNew, got = true, got[:2]
					}
					if done && !isNew && name != "start" {
						t.Fatal("lost")
					}
					if !isNew || name == "roll" {
						same(t, got, old)
					}
				}
			}
		})
	}
}

// smallLog is a log of two starts and several syncs, and the records in it.
// named is how many of them are named durable.
func smallLog(t testing.TB) (fsys *CrashFS, want []kept, named int) {
	fsys = NewCrashFS(seeded(3))
	l, _ := mustOpen(t, options(fsys), true)
	want = appendTo(l, "one", "two")
	mustSync(t, l)
	l, _ = mustOpen(t, options(fsys), false)
	for i := range 3 {
		want = append(want, appendTo(l, fmt.Sprint("record ", i), strings.Repeat("r", 10*i))...)
		mustSync(t, l)
	}
	return fsys, want, len(want) - 2
}

func (c *CrashFS) file(t testing.TB, name string) *crashNode {
	n, err := c.existing("open", name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLogBitFlips flips a bit of each byte of a log. Whatever happens, no
// wrong record is replayed and none that is named durable is lost (L3).
func TestLogBitFlips(t *testing.T) {
	fsys, want, named := smallLog(t)
	random := rand.New(rand.NewPCG(1, 1))
	names, _ := fsys.List(logDir)
	corrupt, cut := 0, 0
	for _, name := range names {
		name = logDir + "/" + name
		for i := range fsys.file(t, name).disk {
			damaged := fsys.Crash() // all is synced: a copy
			damaged.file(t, name).cache[i] ^= 1 << random.IntN(8)
			_, got, err := openLog(options(damaged), false)
			if errors.Is(err, ErrCorrupt) {
				corrupt++
				continue
			}
			if err != nil || len(got) < named {
				t.Fatal(name, i, len(got), err)
			}
			same(t, got, want[:len(got)])
			if len(got) < len(want) {
				cut++
			}
		}
	}
	if corrupt < 200 || cut < 50 {
		t.Fatal(corrupt, cut)
	}
}

// TestLogTornTail ends the last sync at each of its bytes, with zeros or junk
// behind.
func TestLogTornTail(t *testing.T) {
	fsys, want, _ := smallLog(t)
	l, got := mustOpen(t, options(fsys), false)
	same(t, got, want)
	from := l.segments[len(l.segments)-1].used
	name := l.path(segmentName, l.number)
	want = append(want, appendTo(l, "x", strings.Repeat("torn", 300), strings.Repeat("tail", 900))...)
	mustSync(t, l)
	for at := from; at <= int64(len(fsys.file(t, name).disk)); at++ {
		for _, junk := range []byte{0, 0xa5} {
			torn := fsys.Crash()
			b := torn.file(t, name).cache[at:]
			for i := range b {
				b[i] = junk
			}
			_, got := mustOpen(t, options(torn), false)
			if len(got) < len(want)-3 {
				t.Fatal("lost at", at)
			}
			same(t, got, want[:len(got)])
		}
	}
}

// FuzzLog opens a log whose last segment ends with, or is, hostile bytes.
func FuzzLog(f *testing.F) {
	fsys, _, _ := smallLog(f)
	m := fsys.file(f, logDir+"/"+manifestName).disk
	names, _ := fsys.List(logDir)
	s := fsys.file(f, logDir+"/"+names[0]).disk
	f.Add(m, s)
	f.Add(m, s[:BlockSize])
	f.Add(m[:20], []byte{})
	f.Add(m, s[:headerSize+1]) // a body cut short
	for _, at := range []int{5, headerSize + 1, BlockSize + 5} {
		flipped := slices.Clone(s) // what is behind bears witness
		flipped[at] ^= 1
		f.Add(m, flipped)
	}
	runs := 0
	f.Fuzz(func(t *testing.T, manifestBytes, segmentBytes []byte) {
		damaged := fsys.Crash()
		damaged.file(t, logDir+"/"+manifestName).set(manifestBytes)
		damaged.file(t, logDir+"/"+names[0]).set(segmentBytes)
		var before, after runtime.MemStats
		runs++
		measure := runs%64 == 1 // it stops the world
		if measure {
			runtime.ReadMemStats(&before)
		}
		last, total := uint64(0), 0
		_, err := OpenLog(options(damaged), false, func(position uint64, record []byte) error {
			if position <= last {
				t.Fatal("positions do not rise")
			}
			last, total = position, total+len(record)
			return nil
		})
		if measure {
			runtime.ReadMemStats(&after)
		}
		if err != nil && !errors.Is(err, ErrCorrupt) || total > len(segmentBytes) {
			t.Fatal(err, total)
		}
		if spent := after.TotalAlloc - before.TotalAlloc; spent > uint64(1<<20+40*(len(segmentBytes)+len(manifestBytes))) {
			t.Fatal("allocated", spent)
		}
	})
}

func (n *crashNode) set(b []byte) {
	n.cache, n.disk = slices.Clone(b), slices.Clone(b)
	n.size, n.diskSize = int64(len(b)), int64(len(b))
}
