package sim

import (
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"testing"
	"time"
)

func env(name string, otherwise int) int {
	if v, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return v
	}
	return otherwise
}

// statistics are what a number of runs show together.
type statistics struct {
	runs, failed, delivered, shaken, byzantine, primary, operations int
	healing, virtual                                                int64
	marks                                                           map[string]int
	first                                                           []Result
	busy                                                            time.Duration
}

func (s *statistics) add(r Result, took time.Duration) {
	s.runs++
	s.busy += took
	s.delivered += r.Delivered
	s.operations += r.Operations
	s.virtual += r.Virtual
	s.healing = max(s.healing, r.Healing)
	if r.ViewChanges+r.Crashes > 0 {
		s.shaken++
	}
	if r.Byzantine > 0 {
		s.byzantine++
	}
	if r.Primary {
		s.primary++
	}
	for _, mark := range r.Marks {
		s.marks[mark]++
	}
	if r.Violation != "" {
		s.failed++
		s.first = append(s.first, r)
	}
}

// merge adds what other runs have shown.
func (s *statistics) merge(o *statistics) {
	s.runs, s.failed, s.delivered, s.operations = s.runs+o.runs, s.failed+o.failed, s.delivered+o.delivered, s.operations+o.operations
	s.shaken, s.byzantine, s.primary = s.shaken+o.shaken, s.byzantine+o.byzantine, s.primary+o.primary
	s.healing, s.virtual, s.busy = max(s.healing, o.healing), s.virtual+o.virtual, s.busy+o.busy
	s.first = append(s.first, o.first...)
	for mark, n := range o.marks {
		s.marks[mark] += n
	}
}

// campaign makes runs on some workers.
func campaign(seed uint64, runs, workers int, o Options) *statistics {
	s := &statistics{marks: map[string]int{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := seed
	for range workers {
		wg.Go(func() {
			for {
				mu.Lock()
				mine := next
				next++
				mu.Unlock()
				if mine >= seed+uint64(runs) {
					return
				}
				began := time.Now()
				r := Run(mine, o)
				mu.Lock()
				s.add(r, time.Since(began))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	sort.Slice(s.first, func(i, j int) bool { return s.first[i].Seed < s.first[j].Seed })
	return s
}

func (s *statistics) report(t *testing.T) {
	for i, r := range s.first {
		if i < 12 {
			t.Errorf("%s\n\tagain: tagma sim --seed %d --runs 1", r.Violation, r.Seed)
		}
	}
	per := func(n int) int { return n / max(s.runs, 1) }
	t.Logf("%d runs, %d violations; a run: %d messages, %d operations, %d ms virtual; %d messages/s/core", s.runs, s.failed,
		per(s.delivered), per(s.operations), int(s.virtual)/max(s.runs, 1), int(float64(s.delivered)/s.busy.Seconds()))
	t.Logf("%d%% with a view change or a crash, %d%% Byzantine, %d%% with f Byzantine incl. the first primary; slowest healing %d ms",
		per(100*s.shaken), per(100*s.byzantine), per(100*s.primary), s.healing)
}

// TestCampaign makes SIM_RUNS runs from SIM_SEED on; none may break an
// invariant, and most must have something to survive.
func TestCampaign(t *testing.T) {
	o := options()
	s := campaign(uint64(env("SIM_SEED", 1)), env("SIM_RUNS", 20), env("SIM_WORKERS", min(2, runtime.NumCPU())), o)
	s.report(t)
	if os.Getenv("SIM_MARKS") != "" {
		names := make([]string, 0, len(s.marks))
		for name := range s.marks {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			t.Logf("%6d %s", s.marks[name], name)
		}
	}
}

// TestSeed makes one run, SIM_ONE, and writes its story to SIM_LOG.
func TestSeed(t *testing.T) {
	o := options()
	path := os.Getenv("SIM_LOG")
	if path == "" {
		path = filepath.Join(t.TempDir(), "story")
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	o.Log = func(line string) { lines++; f.WriteString(line + "\n") }
	r := Run(uint64(env("SIM_ONE", 2)), o)
	t.Logf("%+v", r)
	if r.Violation != "" || lines == 0 {
		t.Errorf("%q, a story of %d lines", r.Violation, lines)
	}
}

// TestHunt searches SIM_HUNT seeds for a violation and fails with the first
// one found: package mutants runs it on code with a planted bug.
func TestHunt(t *testing.T) {
	o := options()
	for seed := 1; seed <= env("SIM_HUNT", 8); seed++ {
		if r := Run(uint64(seed), o); r.Violation != "" {
			t.Fatalf("HUNT %d %s", r.Seed, r.Violation)
		}
	}
}

// options are those that the environment names.
func options() Options {
	return Options{Byzantine: os.Getenv("SIM_BYZANTINE"), N: env("SIM_N", 0), Calm: os.Getenv("SIM_CALM") != "",
		Crash: os.Getenv("SIM_CRASH") != "", Primary: os.Getenv("SIM_PRIMARY") != ""}
}
