package storage

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
)

// BenchmarkLogSync is one record and its sync on the real disk. A record of
// 4 KiB and its header take two blocks.
func BenchmarkLogSync(b *testing.B) {
	for _, size := range []int{256, 3 << 10, 4 << 10} {
		for _, recycled := range []bool{false, true} {
			b.Run(fmt.Sprintf("bytes=%d/recycled=%v", size, recycled), func(b *testing.B) {
				l, _ := mustOpen(b, LogOptions{Dir: b.TempDir() + "/log", SegmentBytes: 32 << 20}, true)
				record := make([]byte, size)
				if recycled {
					for range 8 {
						for range 4 {
							l.Append(make([]byte, 7<<20))
						}
						mustSync(b, l)
					}
					if err := l.Cut(nil); err != nil {
						b.Fatal(err)
					}
					if err := l.Cut(nil); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportAllocs()
				for b.Loop() {
					l.Append(record)
					mustSync(b, l)
				}
			})
		}
	}
}

// BenchmarkPlainSync is the bare cost: write 4 KiB behind a file, fsync.
func BenchmarkPlainSync(b *testing.B) {
	f, err := os.Create(b.TempDir() + "/plain")
	if err != nil {
		b.Fatal(err)
	}
	record := make([]byte, 4<<10)
	for b.Loop() {
		if _, err := f.Write(record); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLogAppend(b *testing.B) {
	l, _ := mustOpen(b, options(NewCrashFS(seeded(1))), true)
	record := make([]byte, 1<<10)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Append(record)
		if i%16 == 15 {
			mustSync(b, l)
		}
		if i%4096 == 4095 {
			l.Cut(nil)
		}
	}
}

// BenchmarkCrashFS is what a simulated replica pays for its log: make it,
// write it, lose power, open it.
func BenchmarkCrashFS(b *testing.B) {
	random := seeded(1)
	b.Run("create", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			mustOpen(b, options(NewCrashFS(random)), true)
		}
	})
	b.Run("cycle", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fsys := NewCrashFS(random)
			l, _ := mustOpen(b, options(fsys), true)
			for range 8 {
				l.Append(make([]byte, 500))
				mustSync(b, l)
			}
			mustOpen(b, options(fsys.Crash()), false)
		}
	})
}

// BenchmarkRows is one slot: ops gets and sets of rows of 128 bytes among
// 100,000 (in memory 5,000), and a Commit. The figure is per slot.
func BenchmarkRows(b *testing.B) {
	for _, kind := range []string{"pebble", "memory"} {
		for _, ops := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/ops=%d", kind, ops), func(b *testing.B) {
				var s Store = NewMemRows()
				rows := 5_000
				if kind == "pebble" {
					p, err := OpenPebble(Disk(), b.TempDir()+"/rows", PebbleOptions{})
					if err != nil {
						b.Fatal(err)
					}
					s, rows = p, 100_000
				}
				key, value := make([]byte, 16), make([]byte, 128)
				random := rand.New(rand.NewPCG(1, 1))
				write := func(i int) {
					copy(key, fmt.Appendf(key[:0], "%016d", i))
					s.Set(key, value)
				}
				for i := range rows {
					if write(i); i%1000 == 999 {
						s.Commit(uint64(i))
					}
				}
				s.Flush()
				b.ReportAllocs()
				for b.Loop() {
					for range ops {
						i := random.IntN(rows)
						copy(key, fmt.Appendf(key[:0], "%016d", i))
						if _, ok := s.Get(key); !ok {
							b.Fatal("no row", i)
						}
						s.Set(key, value)
					}
					s.Commit(1)
				}
				s.Close()
			})
		}
	}
}

// BenchmarkScan reads 20 neighbouring rows.
func BenchmarkScan(b *testing.B) {
	p, err := OpenPebble(Disk(), b.TempDir()+"/rows", PebbleOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for name, s := range map[string]Store{"pebble": p, "memory": NewMemRows()} {
		b.Run(name, func(b *testing.B) {
			for i := range 10_000 {
				s.Set(fmt.Appendf(nil, "%016d", i), make([]byte, 128))
			}
			s.Commit(1)
			lo := fmt.Appendf(nil, "%016d", 5000)
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				s.Scan(lo, nil, func(_, _ []byte) bool { n++; return n < 20 })
			}
		})
	}
	p.Close()
}
