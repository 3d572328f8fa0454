package client

import (
	"slices"
	"testing"

	"github.com/tagma-db/tagma/pbft"
)

func done(seq pbft.Seq, digest byte) *pbft.Reply {
	p := &pbft.Reply{Seq: seq, Status: pbft.Done}
	p.Digest[0] = digest
	return p
}

func TestAgreed(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []Answer
		agreed  bool
		liars   []int
	}{
		{"all the same", []Answer{{Reply: done(1, 1)}, {Reply: done(1, 1)}, {Reply: done(1, 1)}, {Reply: done(1, 1)}}, true, nil},
		{"one other digest", []Answer{{Reply: done(1, 2)}, {Reply: done(1, 1)}, {Reply: done(1, 1)}, {}}, true, []int{0}},
		{"one other slot", []Answer{{Reply: done(1, 1)}, {Reply: done(1, 1)}, {Reply: done(2, 1)}, {}}, true, []int{2}},
		{"no two agree", []Answer{{Reply: done(1, 1)}, {Reply: done(1, 2)}, {}, {}}, false, nil},
		{"nothing came", make([]Answer, 4), false, nil},
		{"an error is no lie", []Answer{{Reply: done(1, 1)}, {Reply: done(1, 1)}, {Reply: &pbft.Reply{Status: pbft.TooOld}}, {}}, true, nil},
		{"one against itself", []Answer{{Reply: done(1, 1)}, {Reply: done(1, 1)}, {Reply: done(1, 1), Disputed: true}, {}}, true, []int{2}},
	} {
		agreed, liars := Agreed(c.answers, 2)
		if (agreed != nil) != c.agreed || !slices.Equal(liars, c.liars) {
			t.Errorf("%s: agreed %v, liars %v", c.name, agreed, liars)
		}
	}
}

func TestNoteDisputes(t *testing.T) {
	var a Answer
	note(&a, done(1, 1), 0)
	if note(&a, done(1, 1), 0); a.Disputed {
		t.Error("the same twice is disputed")
	}
	if note(&a, done(1, 2), 0); !a.Disputed {
		t.Error("two replies are not disputed")
	}
	var b Answer
	false1 := done(1, 1)
	false1.Full, false1.Result = true, []byte("x")
	if note(&b, false1, 0); !b.Disputed {
		t.Error("a result that its digest denies is not disputed")
	}
}
