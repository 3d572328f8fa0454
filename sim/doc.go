// Package sim is the deterministic world: groups of real hosts on modelled
// networks, disks, clocks and signatures, with adversaries among them and
// checkers of the invariants beside them.
//
// It is no test of its own: Run makes one run out of one seed and says what
// it broke, and package tests, the command line and users of the library call
// it. What is simulated is only what surrounds a replica. The host, the
// protocol core, the node log, the machine and the client are the real ones,
// and every message travels as bytes.
//
// The one rule: a run is its choices. Everything that could be otherwise is a
// small integer drawn from one Chooser, so the same seed gives the same run,
// event by event, on every machine; no goroutine, clock or map order has a say.
//
// Checked on every event: I1 to I8 of docs/protocol.md section 12 as far as
// they concern one group, and D1 and D3 at the moment a vote leaves; at the
// end of a run, once everything is healed, I9 and I10 (check.go).
//
// Sources: tigerbeetle's vopr (every option from the seed; chaos, then heal and
// demand progress); Bano et al., "Twins", 2020 (Byzantine behaviour without
// attack code); Winter et al., "ByzzFuzz", OOPSLA'23 (small-scope mutations).
package sim
