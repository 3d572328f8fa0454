// Package mutants is the test of the tester: classic bugs, each one changed
// line of the real code, that the simulator must catch and name.
//
// It changes no file: its test builds the simulator's tests with the go
// command's -overlay and lets them hunt for a seed that breaks an invariant.
// The unchanged code passes the same seeds. The one rule: a mutant that the
// hunt does not catch is a hole in sim, to be closed there.
//
// Source: the list at the end of docs/testing.md; STYLE.md, "Mutants".
package mutants
