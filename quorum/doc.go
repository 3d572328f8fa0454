// Package quorum is the arithmetic of faults and votes: n, f, q, f+1, and
// sets of replicas. It is pure and holds no protocol.
//
// The one rule: nobody else computes a quorum. For n replicas of which
// f = ⌊(n−1)/3⌋ may be Byzantine, q = ⌈(n+f+1)/2⌉, so that any two quorums
// share a correct replica (2q−n ≥ f+1) and the correct replicas alone form
// one (q ≤ n−f). 2f+1 is not enough at n = 5 or 6.
//
// Source: docs/protocol.md section 1.
package quorum
