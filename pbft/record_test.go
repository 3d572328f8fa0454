package pbft

import (
	"testing"

	"github.com/tagma-db/tagma/wire"
)

// records is one log record of every kind, written by a replica.
func (w *world) records() [][]byte {
	r := newReplica(Options{Config: w.cfg, Self: 1, Signer: w.signers[1], Counter: 1})
	var out Effects
	r.eff = &out
	frames := w.messages()
	message := func(k Kind) *Message {
		m, err := Decode(w.cfg, frames[k-1])
		if err != nil {
			panic(err)
		}
		return m
	}
	q, _ := message(KindRequest).Request()
	b, _ := message(KindBatch).Batch()
	r.store.addBatch(frames[KindBatch-1], b)
	r.store.keepRequest(q)
	vote, _ := message(KindPrepare).Vote()
	cert := w.prepared(vote)
	r.logVote(message(KindPrepare), vote.Seq)
	r.logBatch(r.store.batch(frames[KindBatch-1].Digest()))
	r.logPrepared(&cert)
	r.logView(5, frames[KindViewChange-1])
	r.logView(6, nil)
	r.logChange(frames[KindViewChange-1])
	r.logNewView(frames[KindNewView-1])
	r.logCheckpoint(message(KindCheckpoint))
	r.logStable(w.stable(4))
	r.logExecuted(5, wire.Digest{1})
	r.logMark()
	return out.Records
}

func TestRecordsAreRead(t *testing.T) {
	w := newWorld(4)
	s := Restore{Config: w.cfg}
	seen := map[uint8]bool{}
	for _, record := range w.records() {
		seen[record[0]] = true
		if err := s.Record(record); err != nil {
			t.Fatalf("record of kind %d: %v", record[0], err)
		}
		for i := 17; i < len(record); i++ {
			(&Restore{Config: w.cfg}).Record(record[:i]) // must not panic
		}
		if err := s.Record(append(append([]byte(nil), record...), 0)); err != ErrRecord {
			t.Fatalf("a record of kind %d with a byte too many: %v", record[0], err)
		}
	}
	if len(seen) != int(recEnd)-1 {
		t.Fatalf("%d of %d kinds are tested", len(seen), recEnd-1)
	}
	other := append([]byte(nil), w.records()[0]...)
	other[8]++ // another group
	if err := (&Restore{Config: w.cfg}).Record(other[:20]); err != nil {
		t.Fatalf("a record of another group is not passed over: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	w := newWorld(4)
	for _, record := range w.records() {
		f.Add(record)
		damaged(record, func(b []byte) { f.Add(b) })
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		s := Restore{Config: w.cfg}
		if s.Record(record) != nil || len(record) < 17 {
			return
		}
		var out Effects
		s.Replica(Options{Config: w.cfg, Self: 1, Signer: w.signers[1], Judge: anyone{}, Counter: 1}, Applied{}, false, &out)
	})
}

// anyone admits every request.
type anyone struct{}

func (anyone) Judge(*Request, int64) Admission { return Admissible }
