package quorum

import "math/bits"

// MaxN is the largest group.
const MaxN = 64

// Size is the number n of replicas of a group, 1 ≤ n ≤ MaxN.
type Size int

// F is the number of replicas that may be Byzantine.
func (n Size) F() int { return (int(n) - 1) / 3 }

// Quorum is q: any two sets of q replicas share a correct one.
func (n Size) Quorum() int { return (int(n) + n.F() + 2) / 2 }

// Weak is f+1: any set of that size holds a correct replica.
func (n Size) Weak() int { return n.F() + 1 }

// Valid reports whether n is a size that a group may have.
func (n Size) Valid() bool { return n >= 1 && n <= MaxN }

// Set is a set of replicas, each 0 ≤ id < MaxN. The zero value is empty.
type Set uint64

// Add puts id into the set.
func (s *Set) Add(id int) { *s |= 1 << uint(id) }

// Remove takes id out of the set.
func (s *Set) Remove(id int) { *s &^= 1 << uint(id) }

// Has reports whether id is in the set.
func (s Set) Has(id int) bool { return s&(1<<uint(id)) != 0 }

// Len is the number of replicas in the set.
func (s Set) Len() int { return bits.OnesCount64(uint64(s)) }
