package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/quorum"
)

// Verdicts on a replica.
const (
	verdictOK        = "ok"
	verdictSlow      = "slow"
	verdictSilent    = "silent"    // connected, and answers nothing
	verdictDown      = "down"      // no connection
	verdictLying     = "lying"     // evidence, or an answer of its own, shows it
	verdictRepairing = "repairing" // says itself that it cannot take part yet
	verdictUnknown   = "unknown"   // the group as a whole does not answer
)

const slowAfter = 500 * time.Millisecond // behind f+1 others, a replica is slow

// statusReport is what status prints with -w json.
type statusReport struct {
	Format  int           `json:"format"`
	Cluster string        `json:"cluster"`
	Epoch   uint64        `json:"epoch"`
	Groups  []groupStatus `json:"groups"`
}

type groupStatus struct {
	Group    uint64          `json:"group"`
	N        int             `json:"n"`
	F        int             `json:"f"`
	View     uint64          `json:"view"`
	Primary  int             `json:"primary"`
	Stable   uint64          `json:"stable"`
	Executed uint64          `json:"executed"`
	Healthy  bool            `json:"healthy"`
	CanLose  int             `json:"can_lose"` // further replicas, beside those that are not ok
	Replicas []replicaStatus `json:"replicas"` // by id
}

type replicaStatus struct {
	ID       int      `json:"id"`
	Role     string   `json:"role"` // primary or backup
	Verdict  string   `json:"verdict"`
	Reason   string   `json:"reason"`
	Lag      uint64   `json:"lag"`      // slots that it has executed less than the group
	Evidence []string `json:"evidence"` // what shows that it lies
}

// judge makes verdicts from what was asked of all replicas: two operations
// that each had to answer, a report, and the evidence that they hold. Nothing
// else is known here: not what a demo told its nodes, and no replica's word
// alone convicts another. lied says whose answers were wrong, by replica, here
// or before; judge adds to it.
func judge(cfg *pbft.Config, answers [][]client.Answer, probes []client.Probe, exhibits []client.Exhibit, lied []bool) groupStatus {
	n := cfg.Size()
	g := groupStatus{Group: cfg.Group, N: int(n), F: n.F()}
	alive := false // the group answers
	for _, round := range answers {
		agreed, liars := client.Agreed(round, n.Weak())
		alive = alive || agreed != nil
		for _, id := range liars {
			lied[id] = true
		}
	}
	evidence := collect(cfg, exhibits)
	for id, bad := range lied {
		if bad {
			evidence[id] = append(evidence[id], "its replies differ from those of f+1 others")
		}
	}
	var views, stable, executed []uint64
	for id, p := range probes {
		if p.Report != nil && len(evidence[id]) == 0 {
			views = append(views, uint64(p.Report.View))
			stable = append(stable, uint64(p.Report.Stable))
			executed = append(executed, uint64(p.Report.Executed))
		}
	}
	g.View, g.Stable, g.Executed = vouched(views, n), vouched(stable, n), vouched(executed, n)
	g.Primary = cfg.Primary(pbft.View(g.View))
	bad := 0
	for id, p := range probes {
		r := replicaStatus{ID: id, Role: "backup", Evidence: append([]string{}, evidence[id]...)}
		if id == g.Primary {
			r.Role = "primary"
		}
		if p.Report != nil && uint64(p.Report.Executed) < g.Executed {
			r.Lag = g.Executed - uint64(p.Report.Executed)
		}
		r.Verdict, r.Reason = one(cfg, id, p, answers, alive, &r)
		if r.Verdict != verdictOK {
			bad++
		}
		g.Replicas = append(g.Replicas, r)
	}
	g.Healthy, g.CanLose = bad == 0, max(0, n.F()-bad)
	return g
}

// one is the verdict on one replica, and why.
func one(cfg *pbft.Config, id int, p client.Probe, answers [][]client.Answer, alive bool, r *replicaStatus) (verdict, reason string) {
	replied, late := 0, false
	for _, round := range answers {
		if a := round[id]; a.Reply != nil {
			replied++
			late = late || a.After > decidedAfter(round, cfg.Size().Weak())+slowAfter
		}
	}
	switch {
	case len(r.Evidence) > 0:
		return verdictLying, strings.Join(r.Evidence, "; ")
	case !p.Connected && p.Report == nil && replied == 0:
		if p.Failure == "" {
			return verdictDown, "no connection"
		}
		return verdictDown, oneLine(p.Failure)
	case p.Report == nil && replied == 0:
		return verdictSilent, "connected, but it answers nothing"
	case p.Report != nil && p.Report.State != "":
		return verdictRepairing, oneLine(p.Report.State)
	case !alive:
		return verdictUnknown, "the group does not answer operations"
	case replied < len(answers):
		return verdictSlow, fmt.Sprintf("answered %d of %d operations in time", replied, len(answers))
	case p.Report == nil:
		return verdictSlow, "answered operations, but no question about itself"
	case late:
		return verdictSlow, fmt.Sprintf("answered more than %v after f+1 others", slowAfter)
	case r.Lag > uint64(cfg.Params.Window):
		return verdictSlow, fmt.Sprintf("%d slots behind", r.Lag)
	}
	return verdictOK, ""
}

// decidedAfter is when weak replicas had answered.
func decidedAfter(round []client.Answer, weak int) time.Duration {
	var times []time.Duration
	for _, a := range round {
		if a.Reply != nil {
			times = append(times, a.After)
		}
	}
	if len(times) < weak {
		return 0
	}
	slices.Sort(times)
	return times[weak-1]
}

// vouched is the highest number that a correct replica has reached: f+1 of
// those that reported are there or beyond.
func vouched(numbers []uint64, n quorum.Size) uint64 {
	slices.Sort(numbers)
	at := len(numbers) - n.Weak()
	if at < 0 {
		return 0
	}
	return numbers[at]
}

// collect counts the evidence by accused and charge. Proven items count
// whoever holds them; others only once f+1 replicas hold some against one and
// the same: one of them is correct.
func collect(cfg *pbft.Config, exhibits []client.Exhibit) [][]string {
	out := make([][]string, len(cfg.Members))
	for id := range out {
		var accusers quorum.Set
		witnessed := 0
		counts := map[pbft.Charge]int{}
		for i := range exhibits {
			x := &exhibits[i]
			if x.Culprit != id {
				continue
			}
			if x.Proven() {
				counts[x.Charge]++
			}
			if x.Charge.Signed() {
				continue
			}
			witnessed++
			for _, by := range x.Seen {
				if by != id {
					accusers.Add(by)
				}
			}
		}
		for _, charge := range slices.Sorted(maps.Keys(counts)) {
			out[id] = append(out[id], fmt.Sprintf("%s, proven by what it signed (%s)", charge, items(counts[charge])))
		}
		if accusers.Len() >= cfg.Size().Weak() {
			out[id] = append(out[id], fmt.Sprintf("junk on its links, say replicas %v (%s)", members(accusers), items(witnessed)))
		}
	}
	return out
}

func items(n int) string {
	if n == 1 {
		return "1 item"
	}
	return fmt.Sprintf("%d items", n)
}

// members are the replicas of a set, ascending.
func members(s quorum.Set) (ids []int) {
	for id := range quorum.MaxN {
		if s.Has(id) {
			ids = append(ids, id)
		}
	}
	return ids
}
