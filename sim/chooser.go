package sim

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// Chooser draws the small integers that a run is made of: from a seed, or from
// a list of choices made before. It is not safe for concurrent use.
type Chooser struct {
	source *rand.ChaCha8 // nil: replay only
	replay []uint32
	at     int
	record bool
	made   []uint32 // if record is set; bounded by the run
}

// NewChooser draws from a seed.
func NewChooser(seed uint64) *Chooser {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	copy(key[8:], "tagma sim")
	return &Chooser{source: rand.NewChaCha8(key)}
}

// ReplayChooser repeats choices; behind their end every choice is 0, the
// tamest one.
func ReplayChooser(choices []uint32) *Chooser { return &Chooser{replay: choices} }

// Record makes the chooser remember what it draws from now on.
func (c *Chooser) Record() { c.record = true }

// Choices are those made since Record.
func (c *Chooser) Choices() []uint32 { return c.made }

// Choose draws one of 0 … n−1, for n > 0.
func (c *Chooser) Choose(n int) int {
	var v uint64
	switch {
	case c.source != nil:
		v, _ = bits.Mul64(c.source.Uint64(), uint64(n))
	case c.at < len(c.replay):
		v = uint64(c.replay[c.at]) % uint64(n)
		c.at++
	}
	if c.record {
		c.made = append(c.made, uint32(v))
	}
	return int(v)
}

// Chance is true with probability num/den.
func (c *Chooser) Chance(num, den int) bool { return c.Choose(den) >= den-num }

// Between draws one of lo … hi.
func (c *Chooser) Between(lo, hi int) int { return lo + c.Choose(hi-lo+1) }

// Scale draws a number between lo and hi whose magnitude is uniform: small
// ones are as likely as large ones.
func (c *Chooser) Scale(lo, hi int) int {
	steps := 0
	for v := max(lo, 1); v < hi; v *= 2 {
		steps++
	}
	top := max(lo, 1) << c.Choose(steps+1)
	return min(c.Between(lo, max(lo, min(top, hi))), hi)
}
