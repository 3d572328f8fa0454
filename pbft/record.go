package pbft

import "github.com/tagma-db/tagma/wire"

// Kinds of log records. Each record begins with its kind, group and epoch.
const (
	recVote       uint8 = iota + 1 // own pre-prepare or prepare
	recBatch                       // batch and its requests
	recPrepared                    // prepared certificate
	recView                        // in view v, and the view-change as sent, if one was
	recChange                      // view-change that the next recNewView names
	recNewView                     // accepted NewView
	recCheckpoint                  // own checkpoint
	recStable                      // stable certificate
	recExecuted                    // slot executed, with its batch
	recMark                        // D and the abstention, carried over what is dropped
	recEnd
)

func (r *Replica) record(kind uint8) *wire.Writer {
	w := &wire.Writer{}
	w.U8(kind)
	w.U64(r.cfg.Group)
	w.U64(r.cfg.Epoch)
	return w
}

func (r *Replica) emit(w *wire.Writer) {
	r.eff.Records = append(r.eff.Records, w.B)
	r.appended++
}

// logVote appends an own vote. It starts no sync (D3).
func (r *Replica) logVote(m *Message, seq Seq) {
	w := r.record(recVote)
	w.Bytes(m.Frame.Raw())
	r.emit(w)
	r.awaits = append(r.awaits, await{record: r.appended, seq: seq})
}

// logBatch appends a batch and its bodies, once.
func (r *Replica) logBatch(b *batch) {
	if b.logged {
		return
	}
	b.logged = true
	w := r.record(recBatch)
	w.Bytes(b.frame.Raw())
	frames := make([]*wire.Frame, len(b.requests))
	for i, q := range b.requests {
		frames[i] = q.frame
	}
	encodeFrames(w, frames)
	r.emit(w)
}

func (r *Replica) logPrepared(p *Prepared) {
	w := r.record(recPrepared)
	p.encode(w)
	r.emit(w)
}

func (r *Replica) logView(v View, change *wire.Frame) {
	w := r.record(recView)
	w.U64(uint64(v))
	if change == nil {
		w.Bytes(nil)
	} else {
		w.Bytes(change.Raw())
	}
	r.emit(w)
}

func (r *Replica) logChange(f *wire.Frame) {
	w := r.record(recChange)
	w.Bytes(f.Raw())
	r.emit(w)
}

func (r *Replica) logNewView(f *wire.Frame) {
	w := r.record(recNewView)
	w.Bytes(f.Raw())
	r.emit(w)
}

func (r *Replica) logCheckpoint(m *Message) {
	w := r.record(recCheckpoint)
	w.Bytes(m.Frame.Raw())
	r.emit(w)
	r.awaits = append(r.awaits, await{record: r.appended, seq: m.body.(*Checkpoint).Seq})
}

func (r *Replica) logStable(s *Stable) {
	w := r.record(recStable)
	encodeStable(w, s)
	r.emit(w)
	r.awaits = append(r.awaits, await{record: r.appended, seq: s.Seq})
}

func (r *Replica) logExecuted(seq Seq, d wire.Digest) {
	w := r.record(recExecuted)
	w.U64(uint64(seq))
	w.Raw(d[:])
	r.emit(w)
	r.awaits = append(r.awaits, await{record: r.appended, seq: seq})
}

func (r *Replica) logMark() {
	w := r.record(recMark)
	w.U64(uint64(r.mark))
	w.U64(uint64(r.abstainIn))
	w.U64(uint64(r.abstain))
	r.emit(w)
}

// Carry appends to out the records that must stand in a log from which all
// older ones are dropped (D4): D, the view with its view-change and NewView,
// the stable certificate, own checkpoints above it, own votes of this view,
// certificates and bodies above it, and every slot executed above flushed, the
// slot up to which the rows are durable. It reports false, and nothing may be
// dropped, if such a slot's bodies stand nowhere but in the log.
func (r *Replica) Carry(flushed Seq, out *Effects) bool {
	from := min(r.stable.seq(), flushed, r.low) + 1
	if r.ordered > flushed && r.store.archive.at(flushed+1) == nil || r.ordered > r.low && r.store.archive.at(r.low+1) == nil {
		return false
	}
	r.eff = out
	for i := range r.awaits { // what memory will count, the log must say
		r.mark = max(r.mark, r.awaits[i].seq)
	}
	r.logMark()
	if r.view > 0 {
		var f *wire.Frame
		if r.change != nil {
			f = r.change.frame
		}
		r.logView(r.view, f)
	}
	if r.newView != nil {
		for _, c := range r.newChanges {
			r.logChange(c.frame)
		}
		r.logNewView(r.newView.Frame)
	}
	if r.stable != nil {
		r.logStable(r.stable)
	}
	for i := len(r.votes[r.self]) - 1; i >= 0; i-- {
		if m := r.votes[r.self][i]; m.body.(*Checkpoint).Seq > r.stable.seq() {
			r.logCheckpoint(m)
		}
	}
	again := map[wire.Digest]bool{}
	carry := func(d wire.Digest) {
		if b := r.store.batch(d); b != nil && b.whole && !again[d] && !d.IsZero() {
			again[d] = true
			b.logged = false
			r.logBatch(b)
		}
	}
	for seq := from; seq <= r.low+r.p.Log; seq++ {
		if s := r.peek(seq); s != nil && seq > r.low {
			if s.own != nil {
				carry(s.own.body.(*Vote).Digest)
				r.logVote(s.own, seq)
			}
			if s.cert != nil {
				carry(s.cert.Digest)
				r.logPrepared(s.cert)
			}
		}
		if d := r.store.archive.at(seq); d != nil {
			carry(d.digest)
			r.logExecuted(seq, d.digest)
		}
	}
	for _, held := range []map[wire.Digest]*batch{r.store.batches, r.store.archive.batches} {
		for d, b := range held { //order-free: sets a flag on each
			b.logged = again[d]
		}
	}
	r.eff = nil
	return true
}
