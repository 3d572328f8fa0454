package quorum

import "testing"

func TestArithmetic(t *testing.T) {
	for n := Size(1); n <= MaxN; n++ {
		f, q := n.F(), n.Quorum()
		if !n.Valid() || int(n) < 3*f+1 || int(n) >= 3*(f+1)+1 {
			t.Errorf("n=%d: f=%d", n, f)
		}
		if q > int(n)-f {
			t.Errorf("n=%d: q=%d is more than the %d correct replicas", n, q, int(n)-f)
		}
		if 2*q-int(n) < f+1 {
			t.Errorf("n=%d: two quorums of %d share only %d replicas", n, q, 2*q-int(n))
		}
		if 2*(q-1)-int(n) >= f+1 {
			t.Errorf("n=%d: q=%d is larger than needed", n, q)
		}
		if n.Weak() != f+1 {
			t.Errorf("n=%d: weak=%d", n, n.Weak())
		}
	}
	if Size(0).Valid() || Size(MaxN+1).Valid() {
		t.Error("sizes out of range are valid")
	}
}

func TestSet(t *testing.T) {
	var s Set
	for id := 0; id < MaxN; id++ {
		s.Add(id)
		s.Add(id)
		if !s.Has(id) || s.Len() != id+1 {
			t.Fatalf("after adding %d: %b", id, s)
		}
	}
	s.Remove(5)
	s.Remove(5)
	if s.Has(5) || s.Len() != MaxN-1 {
		t.Fatalf("after removing 5: %b", s)
	}
}
