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

// TestFloodPushesNobodyOut: however much one replica sends, the others' first
// answers are kept, and its own second story is seen.
func TestFloodPushesNobodyOut(t *testing.T) {
	session := newSession()
	q := &question{number: 2, answers: make([]Answer, 4), news: make(chan struct{}, 1)}
	p := &probing{out: make([]Probe, 4), news: make(chan struct{}, 1)}
	c := &Client{surveys: map[pbft.SessionID]*question{session: q}, probes: map[uint64]*probing{7: p}}
	answer := func(from int, number uint64, digest byte) {
		r := done(5, digest)
		r.Session, r.Number = session, number
		if !c.surveyed(reply{from, r}) {
			t.Fatal("a reply to the survey is left to others")
		}
	}
	for i := range 1000 {
		answer(3, 2, byte(i))
		answer(3, 1, 0)
		c.probed(3, &pbft.Report{Nonce: 7, View: pbft.View(i)})
	}
	for from := range 3 {
		answer(from, 1, 9) // late, to the question before
		answer(from, 2, 1)
		c.probed(from, &pbft.Report{Nonce: 7})
	}
	for id, a := range q.answers {
		if a.Reply == nil || a.Reply.Number != 2 || a.Disputed != (id == 3) || p.out[id].Report == nil || p.out[id].Report.View != 0 {
			t.Errorf("replica %d: %+v, %+v", id, a, p.out[id])
		}
	}
	if agreed, liars := Agreed(q.answers, 2); agreed == nil || !slices.Equal(liars, []int{3}) {
		t.Errorf("agreed %v, liars %v", agreed, liars)
	}
}
