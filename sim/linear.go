package sim

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/anishathalye/porcupine"

	"github.com/tagma-db/tagma/pbft"
)

// maxSteps bounds the search of one key's history, which takes time exponential
// in the operations that overlap. Beyond it the check against the order of
// execution has to do; the mark counts that.
const maxSteps = 300_000

// forever is the return of an operation whose outcome is not known.
const forever = int64(1) << 60

// linearizable checks the history of each key (I8), in two ways: by search,
// and against the order in which slots executed.
func (k *checker) linearizable() {
	seen := map[string]bool{}
	for i := len(k.history) - 1; i >= 0; i-- { // an expected value is older than the swap
		o := &k.history[i]
		if o.done && o.outcome == pbft.OutcomeDone {
			seen[o.found] = true
			seen[o.expect] = seen[o.expect] || o.swapped
		} else if seen[o.value] {
			seen[o.expect] = true
		}
	}
	for i := len(k.history) - 1; i >= 0; i-- { // what an older one found may be the value of a newer one
		if o := &k.history[i]; seen[o.value] {
			seen[o.expect] = true
		}
	}
	byKey := make([][]porcupine.Operation, k.w.plan.keys)
	for i := range k.history {
		o := &k.history[i]
		op := porcupine.Operation{ClientId: i, Input: o, Call: o.begun, Output: o, Return: o.ended}
		if !o.done || o.outcome == pbft.OutcomeUnknown {
			if o.kind == opGet || !seen[o.value] {
				continue // nobody can tell whether it happened
			}
			op.Return = forever
		} else if o.outcome == pbft.OutcomeNotDone {
			continue
		}
		byKey[o.key] = append(byKey[o.key], op)
	}
	for key, ops := range byKey {
		steps := 0
		bounded := register
		bounded.Step = func(state, input, output any) (bool, any) {
			if steps++; steps > maxSteps {
				return false, state // nothing is possible any more: the search ends
			}
			return register.Step(state, input, output)
		}
		switch linear := porcupine.CheckOperations(bounded, ops); {
		case !linear && steps > maxSteps:
			k.w.mark("history left to the witness")
		case !linear:
			k.w.violate(nil, "I8", "the history of key "+strconv.Itoa(key)+" is not linearizable")
		}
	}
	k.witness()
	k.revisions()
}

// witness checks that the order of execution respects real time.
func (k *checker) witness() {
	var done []*operation
	for i := range k.history {
		if o := &k.history[i]; o.done && !o.unordered && o.outcome == pbft.OutcomeDone {
			done = append(done, o)
		}
	}
	slices.SortStableFunc(done, func(a, b *operation) int { return cmp.Compare(a.seq, b.seq) })
	var latest micros // begin of an operation ordered up to here
	for _, o := range done {
		if o.ended < latest {
			k.w.violate(nil, "I8", "slot "+strconv.Itoa(int(o.seq))+" is ordered behind an operation that began after it was over")
			return
		}
		latest = max(latest, o.begun)
	}
}

// register is the sequential model of one key.
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		o, now := input.(*operation), state.(string)
		known := o.done && o.outcome == pbft.OutcomeDone
		switch o.kind {
		case opGet:
			return o.found == now, now
		case opPut:
			return !known || o.found == now, o.value
		}
		// An absent key compares equal to nothing; values are never empty.
		swaps := now != "" && now == o.expect
		switch {
		case known && swaps != o.swapped, known && !swaps && o.found != now:
			return false, now
		case swaps:
			return true, o.value
		}
		return true, now
	},
	Equal: func(a, b any) bool { return a.(string) == b.(string) },
}
