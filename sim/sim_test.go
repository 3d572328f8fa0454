package sim

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// must fails the test with the command that shows the run again.
func must(t *testing.T, r Result) {
	t.Helper()
	if r.Violation != "" {
		t.Errorf("%s\n\tagain: tagma sim --seed %d --runs 1", r.Violation, r.Seed)
	}
}

func TestHappyPath(t *testing.T) {
	for n := 4; n <= 7; n++ {
		r := Run(uint64(n), Options{N: n, Calm: true, Byzantine: "none", Messages: 3000})
		must(t, r)
		if r.ViewChanges > 0 || r.Operations < 20 {
			t.Errorf("n = %d: %d view changes, %d operations without any fault", n, r.ViewChanges, r.Operations)
		}
	}
}

// Each adversary, alone, as the first primary and as a backup [I1 to I9].
func TestAdversaries(t *testing.T) {
	shows := map[string]string{"mute": "left: request timed out", "lie": "client accuses", "equivocate": "evidence: equivocation"}
	for _, kind := range byzantine {
		t.Run(kind, func(t *testing.T) {
			var marks []string
			for seed := uint64(1); seed <= 6; seed++ {
				r := Run(seed, Options{Byzantine: kind, Primary: seed%2 == 0, Calm: true, Messages: 4000})
				must(t, r)
				marks = append(marks, r.Marks...)
			}
			if want := shows[kind]; want != "" && !slices.Contains(marks, want) {
				t.Errorf("no run shows %q", want)
			}
		})
	}
}

// TestLiarsAreOnRecord: without any other fault, whoever signs two stories, or a
// false root, is recorded with proof [I6].
func TestLiarsAreOnRecord(t *testing.T) {
	for kind, shows := range map[string]string{"equivocate": "two stories, on record", "lie": "evidence: checkpoint differs from the stable one"} {
		for seed := uint64(1); seed <= 8; seed++ {
			r := Run(seed, Options{Byzantine: kind, Primary: seed%2 == 0, Calm: true, Messages: 3000})
			must(t, r)
			if !slices.Contains(r.Marks, shows) {
				t.Errorf("I6: seed %d: not marked %q: %v", seed, shows, r.Marks)
			}
		}
	}
}

func TestUnknownBehaviour(t *testing.T) {
	if _, err := Behaviour("polite", nil, 0, nil, nil); err == nil || !strings.Contains(err.Error(), "polite") {
		t.Errorf("error %v does not name the behaviour", err)
	}
	for _, name := range Behaviours() {
		if _, err := Behaviour(name, nil, 0, nil, nil); err != nil {
			t.Error(err)
		}
	}
}

// Power losses of one and of all: nothing acknowledged is lost [I5] [I6].
func TestCrashes(t *testing.T) {
	crashes, runs := 0, 40
	if testing.Short() {
		runs = 10
	}
	for seed := range runs {
		r := Crash(uint64(seed) + 1)
		must(t, r)
		crashes += r.Crashes
	}
	if crashes < 5*runs {
		t.Errorf("only %d crashes in %d runs", crashes, runs)
	}
}

// The same seed is the same run, also on one processor and from its choices.
func TestDeterminism(t *testing.T) {
	for seed := uint64(1); seed <= 6; seed++ {
		first := Run(seed, Options{Messages: 3000, Record: true})
		must(t, first)
		before := runtime.GOMAXPROCS(1)
		second := Run(seed, Options{Messages: 3000})
		runtime.GOMAXPROCS(before)
		third := Run(seed, Options{Messages: 3000, Choices: first.Choices})
		for _, r := range []Result{second, third} {
			if r.Trace != first.Trace || r.Delivered != first.Delivered {
				t.Errorf("seed %d: %d messages and trace %x, then %d and %x", seed, first.Delivered, first.Trace[:4], r.Delivered, r.Trace[:4])
			}
		}
	}
}

// So are runs on Pebble, whose goroutines have no say [a tenth of the seeds].
func TestDeterminismOfMany(t *testing.T) {
	o := Options{Messages: 2000}
	for seed := uint64(201); seed <= 225; seed++ {
		if a, b := Run(seed, o), Run(seed, o); a.Trace != b.Trace {
			t.Errorf("seed %d: two runs differ", seed)
		}
	}
}

// TestSeeds makes fresh short runs for a few seconds, from a fixed seed on.
func TestSeeds(t *testing.T) {
	limit, runs := 20*time.Second, 300
	if testing.Short() {
		limit, runs = 5*time.Second, 40
	}
	began, s := time.Now(), &statistics{marks: map[string]int{}}
	for s.runs < runs && time.Since(began) < limit {
		part := campaign(100_001+uint64(s.runs), 20, min(2, runtime.NumCPU()), Options{})
		s.merge(part)
	}
	s.report(t)
	for _, mark := range []string{"cut", "all crashed", "replayed", "twins", "mutate", "left: request timed out", "left: primary restarted", "outcome: unknown", "unordered read"} {
		if s.runs > 150 && s.marks[mark] == 0 {
			t.Errorf("nothing was ever marked %q", mark)
		}
	}
}
