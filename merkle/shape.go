package merkle

import "bytes"

// The bounds of a node's shape. They decide roots: to change one is to change
// the protocol version.
const (
	// MaxKey is the longest key, in bytes.
	MaxKey = 64 << 10

	maxEntries = 48
	minEntries = 4
	entrySize  = 4 + 32 + 8 // what an entry weighs beside its key or separator

	// A node of at least 2*minEntries entries weighs no more than this: as many
	// entries with keys of 8 KiB.
	maxWeight = 2 * minEntries * (8<<10 + entrySize)

	// A node below both is joined with a neighbour.
	thinEntries = maxEntries / 3
	thinWeight  = maxWeight / 4

	// MaxNode bounds the encoding of a node, in bytes: it has fewer than
	// 2*minEntries entries, or weighs at most maxWeight, which is less.
	MaxNode = headerSize + (2*minEntries-1)*(entrySize+MaxKey)

	// maxLevel bounds the level of a root: 2*4^31 rows are 2^63.
	maxLevel = 31
	maxRows  = 1 << 62
)

func full(entries, weight int) bool {
	return entries > maxEntries || entries >= 2*minEntries && weight > maxWeight
}

func thin(entries, weight int) bool {
	return entries < minEntries || entries < thinEntries && weight < thinWeight
}

// weights are what consecutive entries weigh.
type weights struct {
	sums  []int // sums[i]: the first i entries, from sums[0] = 0 on
	inner bool  // they are children: a node does not hold the separator of its first
}

func (w *weights) add(entry int) {
	w.sums = append(w.sums, w.sums[len(w.sums)-1]+entry)
}

// node is what a node of the entries from and up to to weighs.
func (w *weights) node(from, to int) int {
	weight := w.sums[to] - w.sums[from]
	if w.inner {
		weight -= w.sums[from+1] - w.sums[from] - entrySize
	}
	return weight
}

// cut splits the entries into nodes that are not full and returns the end of
// each. If it cuts at all, each node has at least minEntries entries, and none
// is thin if no key or separator is longer than 8 KiB: a half weighs at least
// half of maxWeight less two such entries, which is a quarter.
func (w *weights) cut() []int { return w.halve(nil, 0, len(w.sums)-1) }

// halve appends the ends of the nodes made of the entries from and up to to.
func (w *weights) halve(ends []int, from, to int) []int {
	weight := w.node(from, to)
	if !full(to-from, weight) {
		return append(ends, to)
	}
	middle := from + (to-from)/2
	if weight > maxWeight {
		middle = from + minEntries
		for middle < to-minEntries && 2*w.node(from, middle) < weight {
			middle++
		}
	}
	return w.halve(w.halve(ends, from, middle), middle, to)
}

// separator is the shortest prefix of right that is above left. It is a copy.
func separator(left, right []byte) []byte {
	n := 0
	for n < len(left) && left[n] == right[n] {
		n++
	}
	return bytes.Clone(right[:n+1])
}
