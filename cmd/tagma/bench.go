package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/kv"
)

func (a *app) benchCmd() *cobra.Command {
	b := &bench{}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure operations a second and how long one takes",
		Long: `Bench runs callers as goroutines of this one client process; they share its
signed requests, as the goroutines of an application do. Without --rate each
caller begins its next operation when the last has ended; with it operations
begin at a steady rate, and each is measured from when it was due to begin.

The CPU time of the servers is measured for a demo on this computer.`,
		Example: `  tagma bench --callers 1
  tagma bench --callers 256 --seconds 10 --value 128 -w json
  tagma bench --workload mixed --callers 64 --rate 2000`,
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := b.check(); err != nil {
				return err
			}
			pids := demoPIDs(a.dir)
			return a.with(func(c *client.Client) error {
				r, err := b.run(cmd.Context(), c, pids)
				if err != nil {
					return err
				}
				return a.printBench(r)
			})
		},
	}
	a.clusterFlags(cmd, client.DefaultTimeout)
	f := cmd.Flags()
	f.StringVar(&b.workload, "workload", "put", "put, get or mixed (half and half)")
	f.IntVar(&b.callers, "callers", 16, "`number` of callers at once")
	f.Float64Var(&b.seconds, "seconds", 10, "`time` to measure")
	f.IntVar(&b.value, "value", 128, "`bytes` of a value")
	f.IntVar(&b.keys, "keys", 10000, "`number` of keys")
	f.Float64Var(&b.rate, "rate", 0, "operations a second in all (0: as fast as answers come)")
	return cmd
}

// bench is what to measure.
type bench struct {
	workload             string
	callers, value, keys int
	seconds, rate        float64
}

// benchReport is what bench prints with -w json.
type benchReport struct {
	Format  int      `json:"format"`
	Ops     int64    `json:"ops"`
	Rate    float64  `json:"ops_per_s"`
	Min     float64  `json:"min_ms"`
	P50     float64  `json:"p50_ms"`
	P99     float64  `json:"p99_ms"`
	P999    float64  `json:"p999_ms"`
	Max     float64  `json:"max_ms"`
	Errors  int64    `json:"errors"`
	Unknown int64    `json:"unknown"`
	CPU     *float64 `json:"server_cpu_s_per_kop"` // null where it cannot be measured
}

func (b *bench) check() error {
	switch {
	case b.workload != "put" && b.workload != "get" && b.workload != "mixed":
		return usage("choose put, get or mixed", "unknown workload %q", b.workload)
	case b.callers < 1 || b.callers > 100_000:
		return usage("give 1 to 100000", "--callers is %d", b.callers)
	case b.keys < 1 || b.value < 0 || b.value > 1<<20:
		return usage("give at least one key, and values of up to 1 MiB", "--keys is %d and --value %d", b.keys, b.value)
	case b.callers*b.value > maxBenchBytes:
		return usage("give fewer callers or smaller values, together at most 1 GiB", "--callers is %d and --value %d", b.callers, b.value)
	case b.seconds <= 0 || b.rate < 0:
		return usage("give a positive time, and a rate that is not negative", "--seconds is %v and --rate %v", b.seconds, b.rate)
	}
	return nil
}

// tally is what some callers saw; a histogram is too large for one each.
type tally struct {
	mu              sync.Mutex
	times           *hdrhistogram.Histogram // microseconds
	failed, unknown int64
	last            error
}

const (
	maxMicros     = int64(10 * time.Minute / time.Microsecond)
	maxTallies    = 64
	maxBenchBytes = 1 << 30 // of the values of all callers
)

func newTallies(callers int) []tally {
	tallies := make([]tally, min(callers, maxTallies))
	for i := range tallies {
		tallies[i].times = hdrhistogram.New(1, maxMicros, 3)
	}
	return tallies
}

// note counts an operation that ended.
func (t *tally) note(took time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.times.RecordValue(min(took.Microseconds(), maxMicros))
		return
	case client.Unknown(err):
		t.unknown++
	default:
		t.failed++
	}
	t.last = err
}

// run measures. Keys that reads need are put before.
func (b *bench) run(ctx context.Context, c *client.Client, pids []int) (*benchReport, error) {
	if b.workload != "put" {
		if err := b.fill(ctx, c); err != nil {
			return nil, err
		}
	}
	tallies := newTallies(b.callers)
	cpu, haveCPU := cpuSeconds(pids)
	var group sync.WaitGroup
	began := time.Now()
	end := began.Add(time.Duration(b.seconds * float64(time.Second)))
	for i := range b.callers {
		group.Go(func() { b.call(ctx, c, i, began, end, &tallies[i%len(tallies)]) })
	}
	group.Wait()
	took := time.Since(began).Seconds()
	after, stillCPU := cpuSeconds(pids)
	all := &tallies[0]
	for i := range tallies[1:] {
		t := &tallies[i+1]
		all.times.Merge(t.times)
		all.failed += t.failed
		all.unknown += t.unknown
		if t.last != nil {
			all.last = t.last
		}
	}
	ops := all.times.TotalCount()
	if ops == 0 && all.last != nil {
		return nil, all.last
	}
	millis := func(micros int64) float64 { return float64(micros) / 1000 }
	r := &benchReport{Format: 1, Ops: ops, Rate: float64(ops) / took, P50: millis(all.times.ValueAtPercentile(50)),
		P99: millis(all.times.ValueAtPercentile(99)), P999: millis(all.times.ValueAtPercentile(99.9)),
		Min: millis(all.times.Min()), Max: millis(all.times.Max()), Errors: all.failed, Unknown: all.unknown}
	if haveCPU && stillCPU && ops > 0 {
		used := (after - cpu) / (float64(ops) / 1000)
		r.CPU = &used
	}
	return r, nil
}

// fill puts all keys, many at once.
func (b *bench) fill(ctx context.Context, c *client.Client) error {
	l := newLoader(c, loadTimeout)
	for k := range b.keys {
		if !l.begin(ctx, &line{number: int64(k + 1), op: kv.Put{Key: benchKey(k), Value: make([]byte, b.value)}}) {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.count > 0 {
		l.changed.Wait()
	}
	return l.err
}

func benchKey(k int) []byte { return fmt.Appendf(nil, "bench/%010d", k) }

// call is one caller. With a rate it does the operations i, i+callers, … of a
// schedule that all callers share.
func (b *bench) call(ctx context.Context, c *client.Client, i int, began, end time.Time, t *tally) {
	random := rand.New(rand.NewPCG(uint64(i), 1))
	value := make([]byte, b.value)
	for k := i; ctx.Err() == nil; k += b.callers {
		start := time.Now()
		if b.rate > 0 {
			start = began.Add(time.Duration(float64(k) / b.rate * float64(time.Second)))
			if !waitUntil(ctx, start) {
				return
			}
		}
		if !start.Before(end) {
			return
		}
		key := benchKey(random.IntN(b.keys))
		var err error
		if b.workload == "get" || b.workload == "mixed" && random.IntN(2) == 0 {
			_, _, err = c.Get(ctx, key)
		} else {
			if len(value) >= 8 {
				binary.BigEndian.PutUint64(value, random.Uint64())
			}
			_, _, err = c.Put(ctx, kv.Put{Key: key, Value: append([]byte(nil), value...)})
		}
		t.note(time.Since(start), err)
	}
}

func waitUntil(ctx context.Context, t time.Time) bool {
	pause := time.Until(t)
	if pause <= 0 {
		return true
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *app) printBench(r *benchReport) error {
	if a.format == "json" {
		return writeJSON(a.out, r)
	}
	cpu := "unknown (no demo on this computer)"
	if r.CPU != nil {
		cpu = fmt.Sprintf("%.3f s", *r.CPU)
	}
	return printLine(a.out, "%d operations, %.0f/s\nmin %.2f ms, p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, max %.2f ms\nerrors %d, unknown %d\nCPU of all servers per 1000 operations: %s",
		r.Ops, r.Rate, r.Min, r.P50, r.P99, r.P999, r.Max, r.Errors, r.Unknown, cpu)
}
