package pbft

import (
	"testing"

	"github.com/tagma-db/tagma/wire"
)

// TestBatchesAheadOfPrePrepares: a correct primary sends every batch ahead of
// its pre-prepare; none of them may be refused as unwanted, however many slots
// pass between two checkpoints. (They were, and each slot then waited a tick
// for a fetch.)
func TestBatchesAheadOfPrePrepares(t *testing.T) {
	w := newWorld(4)
	var out Effects
	r := (&Restore{Config: w.cfg}).Replica(Options{Config: w.cfg, Self: 1, Signer: w.signers[1], Judge: anyone{}, Counter: 1}, Applied{}, true, &out)
	r.Step(Clock{Now: 1, Wall: 10}, &out)
	for i := range int(w.cfg.Params.Interval) - 1 {
		out.Reset()
		b := &Batch{Time: 10}
		batchFrame := w.plain(KindBatch, wire.NoAuthor, (&Batch{Time: 10, Requests: []wire.Digest{{byte(i), byte(i >> 8), 1}}}).encode())
		b.Requests = []wire.Digest{{byte(i), byte(i >> 8), 1}}
		v := Vote{Seq: Seq(i + 1), Digest: batchFrame.Digest()}
		r.Step(Received{0, Verified{&Message{batchFrame, b}}}, &out)
		r.Step(Received{0, Verified{&Message{w.signed(KindPrePrepare, 0, v.encode()), &v}}}, &out)
		for _, e := range out.Events {
			if e.Kind == EventIgnored {
				t.Fatalf("slot %d: %v", i+1, e.Reason)
			}
		}
	}
	// Without pre-prepares there is an end to it.
	ignored := 0
	for i := range 3 * int(w.cfg.Params.Window) {
		out.Reset()
		b := &Batch{Time: int64(i)}
		f := w.plain(KindBatch, wire.NoAuthor, b.encode())
		r.Step(Received{0, Verified{&Message{f, b}}}, &out)
		ignored += len(out.Events)
	}
	if ignored != int(w.cfg.Params.Window) {
		t.Fatalf("%d of 3 W early batches were refused, not W", ignored)
	}
}
