// Package arch is the architecture as a test. It parses the whole module and
// reports every place that breaks a house rule of STYLE.md: imports that do not
// point downward, impurity in the deterministic rooms, files and functions that
// grew, missing package comments, sleeping tests, broken citations and links.
//
// It is not a linter of taste: a rule stands here only if breaking it costs
// correctness, determinism or the reader's way through the tree. Nothing imports
// this package; `go test ./internal/arch` runs it.
//
// Its one rule: it reads sources and never builds them, so it works on a tree
// that is half written. What does not type-check is judged by its syntax alone.
//
// Every check takes a [Tree] and returns its complaints as sorted lines of the
// form "path:line: what is wrong; what to do", so that checks are tested on
// trees made of strings. Exceptions are numbers in ratchet.txt, which may only
// shrink (see [Compare]).
package arch
