package transport

// fifo is a ring that grows by doubling: in the steady state it allocates
// nothing. Its users bound what they put into it.
type fifo[T any] struct {
	ring []T // length 0 or a power of two
	head int // index of the oldest
	n    int // how many are in it
}

// keptRing is the most places an empty fifo keeps; a larger ring is the mark of
// a burst and is given back.
const keptRing = 1024

func (f *fifo[T]) push(v T) {
	if f.n == len(f.ring) {
		grown := make([]T, max(8, 2*f.n))
		copied := copy(grown, f.ring[f.head:])
		copy(grown[copied:], f.ring[:f.head])
		f.ring, f.head = grown, 0
	}
	f.ring[(f.head+f.n)&(len(f.ring)-1)] = v
	f.n++
}

// pop removes the oldest; the fifo must not be empty.
func (f *fifo[T]) pop() T {
	var zero T
	v := f.ring[f.head]
	f.ring[f.head] = zero // the ring must not keep a frame alive
	f.head = (f.head + 1) & (len(f.ring) - 1)
	f.n--
	if f.n == 0 && len(f.ring) > keptRing {
		f.ring, f.head = nil, 0
	}
	return v
}
