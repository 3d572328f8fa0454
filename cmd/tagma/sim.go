package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tagma-db/tagma/quorum"
	"github.com/tagma-db/tagma/sim"
)

const simWorkers = 2

func (a *app) simCmd() *cobra.Command {
	s := &simulation{}
	var tier string
	kinds := strings.Join(sim.Kinds(), ", ") + " or none"
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Simulate clusters under faults and check the invariants",
		Long: `Sim makes runs in a simulated world: real replicas on modelled networks, disks and
clocks, with crashes, partitions and Byzantine replicas, and checks the
protocol's invariants on every event. A run is its seed: the same seed gives
the same run. Exit code 4 means that an invariant was broken; then the choices
of the first such run are written to a file for --replay.`,
		Example: `  tagma sim --runs 2000 --seed 1
  tagma sim --runs 500 --crash
  tagma sim --seed 17 --runs 1 --story run.txt
  tagma sim --replay tagma-sim-17.json --story run.txt`,
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if tier != "codec" {
				return usage("leave --tier out: in every run all messages travel as bytes", "tier %q is not built", tier)
			}
			if s.replay != "" {
				if err := s.readReplay(); err != nil {
					return err
				}
			}
			if err := s.check(); err != nil {
				return err
			}
			return s.run(cmd.Context(), a)
		},
	}
	f := cmd.Flags()
	f.IntVar(&s.runs, "runs", 200, "`number` of runs")
	f.Uint64Var(&s.seed, "seed", 1, "`seed` of the first run; the next have the next")
	f.StringVar(&tier, "tier", "codec", "`depth` of the model: codec")
	f.StringVar(&s.replay, "replay", "", "make the one run whose choices stand in this `file`")
	f.StringVar(&s.story, "story", "", "write what happens in the run to this `file` (with --runs 1 or --replay)")
	f.IntVar(&s.options.N, "nodes", 0, "replicas (0: 4 to 7, as the seed says)")
	f.StringVar(&s.options.Byzantine, "byzantine", "", "`behaviour` of Byzantine replicas: "+kinds+" (default: as the seed says)")
	f.BoolVar(&s.options.Crash, "crash", false, "power losses of one and of all, nobody Byzantine")
	return cmd
}

// simulation is one campaign.
type simulation struct {
	runs          int
	seed          uint64
	replay, story string
	options       sim.Options

	mu      sync.Mutex
	next    int // run to make next
	made    int
	busy    time.Duration // of all workers
	results []sim.Result  // by run, without choices
}

// replayFile is what --replay reads: all that a run depends on.
type replayFile struct {
	Format    int      `json:"format"`
	Seed      uint64   `json:"seed"`
	Violation string   `json:"violation"`
	Nodes     int      `json:"nodes"`
	Byzantine string   `json:"byzantine"`
	Crash     bool     `json:"crash"`
	Choices   []uint32 `json:"choices"`
}

// simReport is what sim prints with -w json.
type simReport struct {
	Format       int         `json:"format"`
	Runs         int         `json:"runs"`
	Violations   int         `json:"violations"`
	Rate         float64     `json:"messages_per_s_core"`
	FirstFailure *simFailure `json:"first_failure"`
	Trace        string      `json:"trace"` // SHA-256 over the traces of all runs, in order
	Messages     int64       `json:"messages"`
	PerRun       int64       `json:"messages_per_run"`
	Shaken       float64     `json:"view_change_or_crash_share"`
	Byzantine    float64     `json:"byzantine_share"`
	Operations   int64       `json:"operations"`
}

type simFailure struct {
	Seed      uint64 `json:"seed"`
	Violation string `json:"violation"`
	Replay    string `json:"replay"` // the command that repeats it
}

// check refuses what no run can be made of. A cluster that stands no liar gets
// none unless one is asked for.
func (s *simulation) check() error {
	o := &s.options
	f := 1 // drawn clusters have 4 nodes or more
	if o.N != 0 {
		if !quorum.Size(o.N).Valid() {
			return usage(fmt.Sprintf("give 1 to %d, or 0 to leave it to the seed", quorum.MaxN), "--nodes is %d", o.N)
		}
		f = quorum.Size(o.N).F()
	}
	switch {
	case s.runs < 1:
		return usage("give at least 1", "--runs is %d", s.runs)
	case o.Byzantine == "" && f == 0:
		o.Byzantine = "none"
	case o.Byzantine == "" || o.Byzantine == "none":
	case !slices.Contains(sim.Kinds(), o.Byzantine):
		return usage("choose one of "+strings.Join(sim.Kinds(), ", ")+" or none", "unknown behaviour %q", o.Byzantine)
	case f == 0:
		return usage("give at least 4", "with --nodes %d no replica may be Byzantine (f = 0)", o.N)
	case o.Crash:
		return usage("leave one of them out", "with --crash nobody is Byzantine, and --byzantine is %q", o.Byzantine)
	}
	return nil
}

func (s *simulation) readReplay() error {
	text, err := os.ReadFile(s.replay)
	if err != nil {
		return err
	}
	var file replayFile
	if err := json.Unmarshal(text, &file); err != nil || file.Format != 1 || len(file.Choices) == 0 {
		return &failure{cause: s.replay + " is no replay file of this build", next: "give one that `tagma sim` wrote"}
	}
	s.runs, s.seed = 1, file.Seed
	s.options = sim.Options{N: file.Nodes, Byzantine: file.Byzantine, Crash: file.Crash, Choices: file.Choices}
	return nil
}

// run makes all runs on two workers and reports.
func (s *simulation) run(ctx context.Context, a *app) (err error) {
	if s.story != "" {
		if s.runs != 1 {
			return usage("add --runs 1", "--story tells one run, not %d", s.runs)
		}
		f, err := os.Create(s.story)
		if err != nil {
			return err
		}
		defer f.Close()
		out := bufio.NewWriter(f)
		defer out.Flush()
		s.options.Log = func(line string) { fmt.Fprintln(out, line) }
	}
	s.results = make([]sim.Result, s.runs)
	stop := s.tellProgress(a.err)
	var group sync.WaitGroup
	for range min(simWorkers, s.runs) {
		group.Go(func() { s.work(ctx) })
	}
	group.Wait()
	stop()
	if ctx.Err() != nil {
		return &failure{cause: fmt.Sprintf("interrupted after %d of %d runs", s.made, s.runs), next: "run it again, with fewer --runs"}
	}
	r, err := s.report()
	if err == nil {
		err = a.printSim(r)
	}
	if err == nil && r.Violations > 0 {
		err = errBad
	}
	return err
}

func (s *simulation) work(ctx context.Context) {
	for ctx.Err() == nil {
		s.mu.Lock()
		i := s.next
		s.next++
		s.mu.Unlock()
		if i >= s.runs {
			return
		}
		began := time.Now()
		r := sim.Run(s.seed+uint64(i), s.options)
		r.Choices, r.Marks = nil, nil
		s.mu.Lock()
		s.results[i] = r
		s.made++
		s.busy += time.Since(began)
		s.mu.Unlock()
	}
}

// tellProgress prints a line every few seconds until it is stopped.
func (s *simulation) tellProgress(out io.Writer) (stop func()) {
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		ticker := time.NewTicker(linePause)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				s.mu.Lock()
				bad := 0
				for i := range s.results {
					if s.results[i].Violation != "" {
						bad++
					}
				}
				fmt.Fprintf(out, "%d of %d runs, %d violations\n", s.made, s.runs, bad)
				s.mu.Unlock()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-over }
}

// report adds the runs up; of the first that broke an invariant it writes the
// choices.
func (s *simulation) report() (*simReport, error) {
	r := &simReport{Format: 1, Runs: s.runs}
	hash := sha256.New()
	shaken, byzantine := 0, 0
	for i := range s.results {
		x := &s.results[i]
		hash.Write(x.Trace[:])
		r.Messages += int64(x.Delivered)
		r.Operations += int64(x.Operations)
		if x.ViewChanges > 0 || x.Crashes > 0 {
			shaken++
		}
		if x.Byzantine > 0 {
			byzantine++
		}
		if x.Violation == "" {
			continue
		}
		if r.Violations++; r.FirstFailure == nil {
			failure, err := s.keep(x)
			if err != nil {
				return nil, err
			}
			r.FirstFailure = failure
		}
	}
	r.Trace = hex.EncodeToString(hash.Sum(nil))
	r.PerRun = r.Messages / int64(s.runs)
	r.Shaken, r.Byzantine = float64(shaken)/float64(s.runs), float64(byzantine)/float64(s.runs)
	r.Rate = float64(r.Messages) / max(s.busy.Seconds(), 1e-9)
	return r, nil
}

// keep makes a failed run again to have its choices, and writes them.
func (s *simulation) keep(x *sim.Result) (*simFailure, error) {
	name := s.replay
	if name == "" {
		o := s.options
		o.Record, o.Log = true, nil
		file := replayFile{1, x.Seed, x.Violation, o.N, o.Byzantine, o.Crash, sim.Run(x.Seed, o).Choices}
		text, err := json.Marshal(file)
		if err != nil {
			return nil, err
		}
		name = fmt.Sprintf("tagma-sim-%d.json", x.Seed)
		if err := os.WriteFile(name, append(text, '\n'), 0o644); err != nil {
			return nil, err
		}
	}
	return &simFailure{x.Seed, x.Violation, "tagma sim --replay " + name}, nil
}

func (a *app) printSim(r *simReport) error {
	if a.format == "json" {
		return writeJSON(a.out, r)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%d runs, %d violations, trace %s\n", r.Runs, r.Violations, r.Trace)
	fmt.Fprintf(&text, "%d messages a run, %.0f messages/s a core; %.0f %% of runs with a view change or a crash, %.0f %% with Byzantine replicas",
		r.PerRun, r.Rate, 100*r.Shaken, 100*r.Byzantine)
	if f := r.FirstFailure; f != nil {
		fmt.Fprintf(&text, "\nseed %d broke %s\nagain: %s", f.Seed, f.Violation, f.Replay)
	}
	return printLine(a.out, "%s", text.String())
}
