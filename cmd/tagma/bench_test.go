package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/pbft"
)

// TestReportsAsJSON pins the fields that scripts rely on.
func TestReportsAsJSON(t *testing.T) {
	text, err := json.Marshal(benchReport{Format: 1})
	want := `{"format":1,"ops":0,"ops_per_s":0,"min_ms":0,"p50_ms":0,"p99_ms":0,"p999_ms":0,"max_ms":0,"errors":0,"unknown":0,"server_cpu_s_per_kop":null}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
	text, err = json.Marshal(simReport{Format: 1})
	want = `{"format":1,"runs":0,"violations":0,"messages_per_s_core":0,"first_failure":null,"trace":""`
	if err != nil || !strings.HasPrefix(string(text), want) {
		t.Errorf("%s, %v", text, err)
	}
}

// TestBenchTallies: however many callers there are, histograms are few, and
// what callers note at once is counted.
func TestBenchTallies(t *testing.T) {
	tallies := newTallies(100_000)
	if len(tallies) != maxTallies || len(newTallies(3)) != 3 {
		t.Fatalf("%d tallies", len(tallies))
	}
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			tallies[0].note(time.Millisecond, nil)
			tallies[0].note(0, errors.New("failed"))
			tallies[0].note(0, &client.Error{Outcome: pbft.OutcomeUnknown})
		})
	}
	group.Wait()
	if x := &tallies[0]; x.times.TotalCount() != 100 || x.failed != 100 || x.unknown != 100 || x.last == nil {
		t.Errorf("%d done, %d failed, %d unknown, %v", x.times.TotalCount(), x.failed, x.unknown, x.last)
	}
}

func TestCPUSeconds(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return // no /proc: bench says null
	}
	if seconds, ok := cpuSeconds([]int{os.Getpid()}); !ok || seconds < 0 || seconds > 1e6 {
		t.Errorf("%v, %v", seconds, ok)
	}
	if _, ok := cpuSeconds(nil); ok {
		t.Error("no process, and yet a figure")
	}
}

// TestSim: the same seeds give the same trace, and a story can be told.
func TestSim(t *testing.T) {
	story := filepath.Join(t.TempDir(), "story")
	var traces []string
	for range 2 {
		code, stdout, stderr := tagma(t, "", "sim", "--runs", "1", "--seed", "3", "-w", "json", "--story", story)
		var r simReport
		if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitDone {
			t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
		}
		if r.Runs != 1 || r.Violations != 0 || r.Messages == 0 || r.PerRun != r.Messages {
			t.Errorf("%+v", r)
		}
		traces = append(traces, r.Trace)
	}
	if traces[0] != traces[1] || len(traces[0]) != 64 {
		t.Errorf("traces %v", traces)
	}
	code, stdout, stderr := tagma(t, "", "sim", "--runs", "4", "--nodes", "3", "-w", "json")
	if code != exitDone || !strings.Contains(stdout, `"byzantine_share":0,`) {
		t.Errorf("three replicas, which stand no liar: exit %d: %s%s", code, stdout, stderr)
	}
	if text, err := os.ReadFile(story); err != nil || len(text) == 0 {
		t.Errorf("story: %d bytes, %v", len(text), err)
	}
}
