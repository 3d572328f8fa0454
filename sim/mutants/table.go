package mutants

// Mutant is one planted bug.
type Mutant struct {
	Name string
	File string // from the module's root
	Old  string // stands in File exactly once
	New  string
	// Invariants that the hunt may name, by the words before the colon of a
	// violation; "halt" is a correct replica that stopped, "panic" an assertion.
	Invariants []string
	Hunt       Hunt
	// Directed is a test that is the schedule for it, "package TestName": for
	// bugs that seeds reach too rarely. It names the invariant first.
	Directed string
	Quick    bool // part of every test run
}

// Hunt narrows the runs in which the bug shows.
type Hunt struct {
	N         int
	Byzantine string
	Primary   bool
	Crash     bool
	Runs      int // at most; 0: 300
}

// Mutants are the planted bugs.
var Mutants = []Mutant{
	{Name: "quorum of 2f", File: "quorum/quorum.go",
		Old: "return (int(n) + n.F() + 2) / 2", New: "return 2 * n.F()",
		Invariants: []string{"I1", "I5", "I6", "I9", "halt"}, Hunt: Hunt{N: 4, Byzantine: "equivocate", Primary: true}},
	{Name: "quorum of 2f+1 at n = 6", File: "quorum/quorum.go",
		Old: "return (int(n) + n.F() + 2) / 2", New: "return 2*n.F() + 1",
		Invariants: []string{"I1", "I5", "halt"}, Hunt: Hunt{N: 6, Byzantine: "equivocate", Primary: true}},
	{Name: "sends do not wait for the sync", File: "host/host.go", Quick: true,
		Old: "if h.last <= h.synced {", New: "if h.last <= h.synced || true {",
		Invariants: []string{"INV-21", "D2"}},
	{Name: "commit leaves before its certificate is durable", File: "pbft/normal.go",
		Old: "r.send(ToAll, f)\n\tr.awaits", New: "r.eager(ToAll, f)\n\tr.awaits",
		Invariants: []string{"INV-21"}},
	{Name: "no abstention after a restart", File: "pbft/restore.go",
		Old: "if !clean && r.active {", New: "if false && !clean && r.active {",
		Invariants: []string{"I6", "halt"}, Hunt: Hunt{Crash: true, Runs: 1500}},
	{Name: "abstain up to D only", File: "pbft/restore.go",
		Old: "max(r.abstain, r.mark+r.p.Window)", New: "max(r.abstain, r.mark)",
		Invariants: []string{"I6", "halt"}, Hunt: Hunt{Crash: true, Runs: 1500}},
	{Name: "votes beyond D + W", File: "pbft/normal.go", Quick: true,
		Old: "if s.seq > r.mark+r.p.Window {", New: "if false {",
		Invariants: []string{"D3"}},
	{Name: "D counts votes that are not synced", File: "pbft/record.go",
		Old: "r.awaits = append(r.awaits, await{record: r.appended, seq: seq})\n}\n\n// logBatch", New: "r.mark = max(r.mark, seq)\n}\n\n// logBatch",
		Invariants: []string{"D3"}},
	{Name: "D is lowered when the log is dropped", File: "pbft/record.go",
		Old: "w.U64(uint64(r.mark))", New: "w.U64(uint64(r.low))",
		Invariants: []string{"D3", "I6", "halt"}, Hunt: Hunt{Byzantine: "none", Runs: 1500}},
	{Name: "view-change leaves before the view is durable", File: "pbft/viewchange.go",
		Old: "r.send(ToAll, f)", New: "r.eager(ToAll, f)",
		Invariants: []string{"D2", "I6", "halt"}},
	{Name: "new-view leaves before it is durable", File: "pbft/newview.go",
		Old: "r.send(ToAll, m.Frame)", New: "r.eager(ToAll, m.Frame)",
		Invariants: []string{"D2", "I6", "halt"}},
	{Name: "votes before the new-view is durable", File: "pbft/replica.go",
		Old: "!r.joining && r.synced >= r.votable", New: "!r.joining",
		Invariants: []string{"D2", "I6", "halt"}},
	{Name: "view-change carries certificates of the last view only", File: "pbft/viewchange.go",
		Old: "if s.cert != nil {", New: "if s.cert != nil && s.cert.View+1 == to {",
		Invariants: []string{"I1", "I5", "I4", "halt"}, Hunt: Hunt{Runs: 1500}},
	{Name: "view-change carries no certificates", File: "pbft/viewchange.go", Quick: true,
		Old: "if s.cert != nil {", New: "if false {",
		Invariants: []string{"I1", "I5", "I4", "halt"}},
	{Name: "new view takes the lowest view's certificate", File: "pbft/viewchange.go",
		Old: "p.View+1 > from[at]", New: "from[at] == 0 || p.View+1 < from[at]", Quick: true,
		Invariants: []string{"I1"}, Directed: "./pbft TestNewViewTakesTheHighestCertificate"},
	{Name: "a null batch of a higher view loses", File: "pbft/viewchange.go",
		Old: "p.View+1 > from[at]", New: "picks[at].Digest.IsZero() || p.View+1 > from[at]",
		Invariants: []string{"I1"}, Directed: "./pbft TestNullBatchOfAHigherViewWins"},
	{Name: "a forged new-view of a later view is followed", File: "pbft/newview.go",
		Old: "if v.View == r.view && !r.active { // else", New: "if true { // else",
		Invariants: []string{"I9"}, Directed: "./pbft TestNewViewOfALaterViewDeposesNobody"},
	{Name: "a cut lowers D", File: "pbft/record.go",
		Old: "r.mark = max(r.mark, r.awaits[i].seq)", New: "_ = i",
		Invariants: []string{"I6"}, Directed: "./pbft TestCutKeepsD"},
	{Name: "acked is walked number by number", File: "host/session.go",
		Old: "if number > s.top {", New: "if false {",
		Invariants: []string{"I9"}, Directed: "./host TestAckedIsNoLoop"},
	{Name: "replies from rows that failed", File: "host/execute.go",
		Old: "if h.o.Store.Err() != nil {", New: "if false {",
		Invariants: []string{"I5"}, Directed: "./host TestNoReplyFromRowsThatFailed"},
	{Name: "backup does not check the new view's digests", File: "pbft/newview.go",
		Old: "if *p.body.(*Vote) != picks[i] {", New: "if *p.body.(*Vote) != picks[i] && false {",
		Invariants: []string{"I1", "I5", "halt", "panic"}, Hunt: Hunt{Byzantine: "mutate", Primary: true, Runs: 2500}},
	{Name: "prepares of different digests counted together", File: "pbft/normal.go",
		Old: "len(frames) < need && *p.body.(*Vote) == v", New: "len(frames) < need && p.body.(*Vote).View == v.View",
		Invariants: []string{"I1", "I5", "INV-21", "halt"}, Hunt: Hunt{Byzantine: "equivocate", Primary: true}},
	{Name: "commits of different digests counted together", File: "pbft/normal.go",
		Old: "s.commits[j].vote == c.vote", New: "s.commits[j].vote.View == c.vote.View",
		Invariants: []string{"I1", "I5", "halt"}, Hunt: Hunt{Byzantine: "mutate", Runs: 1500}},
	{Name: "one replica's claim is believed", File: "pbft/status.go",
		Old: "if votes >= r.n.Weak() {", New: "if votes >= 1 {",
		Invariants: []string{"I1", "I4", "halt"}, Hunt: Hunt{Byzantine: "mutate", Runs: 1500}},
	{Name: "a member's checkpoint counts twice", File: "pbft/checkpoint.go", Quick: true,
		Old: "frames = append(frames, other.Frame)", New: "frames = append(frames, other.Frame, other.Frame)",
		Invariants: []string{"I5", "I9", "I10", "halt"}},
	{Name: "checkpoint leaves in a certificate before it is durable", File: "pbft/status.go",
		Old: "one may be this replica's own\n\t\t\tr.send(to, f)", New: "one may be this replica's own\n\t\t\tr.eager(to, f)",
		Invariants: []string{"D2", "halt"}},
	{Name: "an executed number executes again", File: "host/execute.go",
		Old: "case verdictDone: // executed before, this number or this very request: skipped\n\t\treturn", New: "case verdictDone:",
		Invariants: []string{"I3"}, Hunt: Hunt{Runs: 1500}},
	{Name: "the request timer never fires", File: "pbft/timer.go", Quick: true,
		Old: "if idle >= r.timeout ||", New: "if idle >= r.timeout && false ||",
		Invariants: []string{"I9"}, Hunt: Hunt{Byzantine: "mute", Primary: true}},
	{Name: "the new view's timer never starts", File: "pbft/viewchange.go",
		Old: "complete >= r.n.Quorum() && r.newViewAt == 0", New: "false",
		Invariants: []string{"I9"}, Hunt: Hunt{N: 7, Byzantine: "mute", Primary: true, Runs: 1500}},
	{Name: "who went on to a higher view does not count", File: "pbft/viewchange.go",
		Old: "(c.View > r.view || c.View == r.view && r.isComplete(c))", New: "c.View == r.view && r.isComplete(c)",
		Invariants: []string{"I9"}},
	{Name: "no join on f+1 higher views", File: "pbft/viewchange.go",
		Old: "at >= 0 && views[at] > r.view", New: "at >= 0 && views[at] > r.view && false",
		Invariants: []string{"I9"}, Directed: "./pbft TestJoin"},
	{Name: "join on one higher view", File: "pbft/viewchange.go",
		Old: "len(views) - r.n.Weak()", New: "len(views) - 1",
		Invariants: []string{"I9"}, Directed: "./pbft TestJoin"},
	{Name: "what is repeated waits for a sync that nobody starts", File: "host/host.go",
		Old: "h.needSync = true // what is repeated", New: "// what is repeated",
		Invariants: []string{"I9", "I10"}, Hunt: Hunt{Runs: 1500}},
	{Name: "a sweep forgets what a view change waits for", File: "pbft/bodies.go",
		Old: "\tr.wantAgain()\n", New: "\n",
		Invariants: []string{"I9"}, Directed: "./pbft TestSweepKeepsWantsOfAViewChange"},
	{Name: "a fable makes a fetch begin anew", File: "pbft/newview.go",
		Old: "w != nil && w.change {", New: "w != nil {",
		Invariants: []string{"I9"}, Directed: "./pbft TestFetchIsNotStarved"},
	{Name: "long rounds never age a request", File: "pbft/timer.go",
		Old: "r.start = max(r.start, r.now-old)", New: "r.start = r.now",
		Invariants: []string{"I9"}, Directed: "./pbft TestSlowRoundsDeposeASilentPrimary"},
	{Name: "a batch carries the agreed time", File: "pbft/normal.go",
		Old: "b := &Batch{Time: r.wall}", New: "b := &Batch{Time: now}",
		Invariants: []string{"I9"}, Directed: "./pbft TestClocksSetBack"},
	{Name: "a prepare beyond the quorum is forgotten", File: "pbft/replica.go",
		Old: "s.spares[from] = m", New: "_ = from",
		Invariants: []string{"I6"}, Directed: "./pbft TestSparePrepareConvicts"},
	{Name: "a body whose request has executed is not taken in", File: "host/host.go",
		Old: "from.Replica == pbft.FromClient && h.answered(q)", New: "h.answered(q)",
		Invariants: []string{"I9", "I10"}, Hunt: Hunt{Runs: 1500}},
	{Name: "an idle replica keeps its timer", File: "pbft/timer.go", Quick: true,
		Old: "return r.joining || r.openSlot() != nil", New: "return r.ordered > 0 || r.openSlot() != nil",
		Invariants: []string{"I10"}, Hunt: Hunt{Byzantine: "none"}},
}
