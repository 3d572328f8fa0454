package merkle

import "github.com/tagma-db/tagma/wire"

// Prove makes a proof of the rows lo ≤ key < hi: nil is no bound. The interval
// of one key k is [k, k followed by a zero byte); a proof of absence is a proof
// of an interval without rows. With a limit above zero the proof ends with the
// leaf that brings limit rows, so Verify may give some more. A proof is the
// encodings of the nodes that may hold keys of the interval, parents before
// children, each behind its length: 2 to 3 KiB a node when keys are short. Who
// sends proofs of ranges sets a limit. The error is a *LostError.
func (t *Tree) Prove(lo, hi []byte, limit int) ([]byte, error) {
	t.Root()
	var w, room wire.Writer
	rows := 0
	err := t.visit(lo, hi, func(n *node) bool {
		room.B = room.B[:0]
		n.encode(&room)
		w.Bytes(room.B)
		if n.level == 0 {
			rows += len(n.rowsBetween(lo, hi))
		}
		return limit <= 0 || rows < limit
	})
	if err != nil {
		return nil, err
	}
	return w.B, nil
}

// Verify checks a proof against a trusted root and returns the rows of the
// interval lo ≤ key < hi that it proves. If complete, these are all; if not,
// they are all up to the last of them, of which there is at least one. Keys
// alias proof. Exactly one proof verifies for one root, interval and answer.
// Time and memory are bounded by a small multiple of the proof's length. The
// error is wire.ErrMalformed.
func Verify(root wire.Digest, lo, hi, proof []byte) (rows []Row, complete bool, err error) {
	v := verifier{r: wire.NewReader(proof), lo: lo, hi: hi}
	complete = true
	if root != emptyRoot && below(lo, hi) {
		complete = v.node(place{digest: root, root: true})
	}
	if !complete && len(v.rows) == 0 {
		v.r.Fail()
	}
	if err := v.r.Done(); err != nil {
		return nil, false, err
	}
	return v.rows, complete, nil
}

type verifier struct {
	r      wire.Reader
	lo, hi []byte
	rows   []Row
}

// node takes the node at p and what is below it; false if the proof ends early
// or is bad.
func (v *verifier) node(p place) (complete bool) {
	n, err := p.open(v.r.Bytes(MaxNode))
	if err != nil {
		v.r.Fail()
		return false
	}
	if n.level == 0 {
		v.rows = append(v.rows, n.rowsBetween(v.lo, v.hi)...)
		return true
	}
	first, end := n.between(v.lo, v.hi)
	for i := first; i < end; i++ {
		if i > first && v.r.Left() == 0 { // the limit: only after a leaf
			return false
		}
		if !v.node(p.kid(n, i)) {
			return false
		}
	}
	return true
}
