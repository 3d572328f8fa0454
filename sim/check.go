package sim

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/machine"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// checker is what an all-knowing observer holds against the run. Its size is
// bounded by the run's.
type checker struct {
	w         *World
	history   []operation
	tokens    map[string]int // operation's bytes → index in history
	places    map[string]place
	committed []wire.Digest          // by seq
	states    []state                // by seq, as first written
	roots     map[uint64]wire.Digest // by seq, as first signed
	votes     map[ballot][32]byte
	last      *wire.Frame // looked at already
	views     map[pbft.View]bool
	latest    []string    // newest value written, by key
	writes    [][]written // what keys became, by key, in the order of execution
	marks     map[string]int
	court     court
}

// place is where an operation executed.
type place struct {
	seq    uint64
	nth    int
	result [32]byte
}

// ballot names what a correct replica votes on once.
type ballot struct {
	author uint16
	kind   pbft.Kind
	view   pbft.View
	seq    pbft.Seq
}

func newChecker(w *World) checker {
	return checker{w: w, tokens: map[string]int{}, places: map[string]place{}, roots: map[uint64]wire.Digest{}, votes: map[ballot][32]byte{},
		views: map[pbft.View]bool{}, latest: make([]string, w.plan.keys), writes: make([][]written, w.plan.keys), marks: map[string]int{}, court: newCourt(w)}
}

// issue enters an operation into the history.
func (k *checker) issue(o operation) {
	k.tokens[string(o.op)] = len(k.history)
	k.history = append(k.history, o)
	if o.kind != opGet {
		k.latest[o.key] = o.value
	}
}

// recent is a value that key may have.
func (k *checker) recent(key int) string { return k.latest[key] }

// executed checks one execution at a correct replica: it was issued (I2), by
// its client, executes in one place for ever (I3) with one result (I4).
func (k *checker) executed(n *node, call machine.Call, nth int, result []byte) {
	token, ok := k.tokens[string(call.Op)]
	if !ok || k.w.clients[k.history[token].client].key() != call.Principal {
		k.w.violate(n, "I2", "executed an operation that nobody issued")
		return
	}
	at := place{call.Seq, nth, sha256.Sum256(result)}
	have, ok := k.places[string(call.Op)]
	switch {
	case !ok:
		k.places[string(call.Op)] = at
		k.wrote(&k.history[token], result)
	case have.seq != at.seq || have.nth != at.nth:
		k.w.violate(n, "I3", "operation "+strconv.Itoa(token)+" executed at "+strconv.Itoa(int(have.seq))+" and at "+strconv.Itoa(int(at.seq)))
	case have.result != at.result:
		k.w.violate(n, "I4", "operation "+strconv.Itoa(token)+" has two results")
	}
}

// step checks the state after a slot: every correct replica, in every life, has
// the same after it (I1, I4). record is the group's, which holds the chain of
// batches; writes is the digest of the slot's writes, unless the state was
// installed in parts.
func (k *checker) step(n *node, seq uint64, record, writes []byte, installed bool) {
	k.w.logf("  %d/%d executed %d", n.id, n.boot, seq)
	for len(k.states) <= int(seq) {
		k.states = append(k.states, state{})
	}
	have := &k.states[seq]
	if have.record == "" {
		have.record = string(record)
	}
	if have.writes == "" && !installed {
		have.writes = string(writes)
	}
	switch {
	case have.record != string(record):
		what := "I4"
		if have.record[:48] != string(record[:48]) {
			what = "I1"
		}
		k.w.violate(n, what, "two states after slot "+strconv.Itoa(int(seq)))
	case have.writes != string(writes) && !installed:
		k.w.violate(n, "I4", "two results of slot "+strconv.Itoa(int(seq)))
	}
}

// state is the group's record after a slot, and the digest of what the slot wrote.
type state struct{ record, writes string }

// event checks what a replica says of itself.
func (k *checker) event(n *node, e pbft.Event) {
	if !n.correct() {
		return
	}
	w := k.w
	if w.o.Log != nil && e.Kind != pbft.EventIgnored {
		w.logf("  %d/%d %s %s peer=%d view=%d seq=%d %s", n.id, n.boot, e.Kind, e.Reason, e.Peer, e.View, e.Seq, e.Digest)
	}
	switch e.Kind {
	case pbft.EventIgnored:
		w.mark("ignored: " + e.Reason.String())
		if e.Reason == pbft.ReasonUnproven && w.nodes[e.Peer].correct() {
			w.violate(n, "I6", "would accuse the correct replica "+strconv.Itoa(e.Peer)+" of what its frames do not show")
		}
	case pbft.EventCommitted, pbft.EventReplayed:
		for len(k.committed) <= int(e.Seq) {
			k.committed = append(k.committed, wire.Digest{1})
		}
		if have := &k.committed[e.Seq]; *have == (wire.Digest{1}) {
			*have = e.Digest
		} else if *have != e.Digest {
			w.violate(n, "I1", "two batches committed at slot "+strconv.Itoa(int(e.Seq)))
		}
		if e.Kind == pbft.EventReplayed {
			w.mark("replayed")
		}
	case pbft.EventEntered:
		k.views[e.View] = true
	case pbft.EventEvidence:
		w.mark("evidence: " + e.Reason.String())
	case pbft.EventLeft:
		w.mark("left: " + e.Reason.String())
	case pbft.EventBehind, pbft.EventRelayed, pbft.EventInstalled:
		w.mark(e.Kind.String())
	}
}

// sent checks a frame that a correct replica sends: no vote contradicts one
// that it ever sent (I6), commits have a durable certificate (D1), and no vote
// lies beyond D + W (D3).
func (k *checker) sent(n *node, f *wire.Frame) {
	if f == k.last || int(f.Author) != n.id {
		return
	}
	k.last = f
	k.durable(n, f)
	k.court.prosecute(f)
	switch kind := pbft.Kind(f.Kind); kind {
	case pbft.KindCommit:
		v := vote(f)
		k.voted(n, kind, v.View, v.Seq, v.Digest)
		if !n.seen.certs[v] {
			k.w.violate(n, "INV-21", "sent a commit without a durable certificate, slot "+strconv.Itoa(int(v.Seq)))
		}
	case pbft.KindPrePrepare, pbft.KindPrepare:
		v := vote(f)
		k.voted(n, kind, v.View, v.Seq, v.Digest)
		if v.Seq > n.seen.mark+k.w.plan.params.Window && (kind == pbft.KindPrepare || v.Seq > n.seen.fixed) {
			k.w.violate(n, "D3", "voted at "+strconv.Itoa(int(v.Seq))+", beyond D + W: D is "+strconv.Itoa(int(n.seen.mark)))
		}
	case pbft.KindCheckpoint:
		r := wire.NewReader(f.Body)
		seq, d := r.U64(), wire.Digest(sha256.Sum256(f.Body))
		k.voted(n, kind, 0, pbft.Seq(seq), d)
		if have, ok := k.roots[seq]; !ok {
			k.roots[seq] = d
		} else if have != d {
			k.w.violate(n, "I4", "two roots of the state after slot "+strconv.Itoa(int(seq)))
		}
	case pbft.KindViewChange, pbft.KindNewView:
		r := wire.NewReader(f.Body)
		k.voted(n, kind, pbft.View(r.U64()), 0, sha256.Sum256(f.Body))
		if kind == pbft.KindNewView {
			for _, v := range proposals(f) {
				k.voted(n, pbft.KindPrePrepare, v.View, v.Seq, v.Digest)
			}
		}
	}
}

// durable checks that what docs/protocol.md section 2 wants durable before it
// is sent is on this replica's disk (D2).
func (k *checker) durable(n *node, f *wire.Frame) {
	switch kind := pbft.Kind(f.Kind); kind {
	case pbft.KindCheckpoint, pbft.KindViewChange, pbft.KindNewView:
		if !n.seen.signed[f.Digest()] {
			k.w.violate(n, "D2", "sent a "+kind.String()+" that is not durable")
		}
	case pbft.KindPrePrepare, pbft.KindPrepare:
		if v := vote(f); v.View > n.seen.view {
			k.w.violate(n, "D2", "voted in view "+strconv.Itoa(int(v.View))+", whose new-view is not durable")
		}
	}
}

func (k *checker) voted(n *node, kind pbft.Kind, v pbft.View, seq pbft.Seq, d wire.Digest) {
	b := ballot{uint16(n.id), kind, v, seq}
	have, ok := k.votes[b]
	if !ok {
		k.votes[b] = d
	} else if have != d {
		k.w.violate(n, "I6", "two different "+kind.String()+"s for view "+strconv.Itoa(int(v))+" slot "+strconv.Itoa(int(seq)))
	}
}

// completed checks an answer that a client believes: a correct replica gave
// it, and the write stays where it is (I5).
func (k *checker) completed(token int, done pbft.Completion) {
	o := &k.history[token]
	o.done, o.outcome, o.ended, o.seq = true, done.Outcome, k.w.now, done.Seq
	if done.Outcome != pbft.OutcomeDone {
		if at, ok := k.places[string(o.op)]; ok && done.Outcome == pbft.OutcomeNotDone {
			k.w.violate(nil, "I8", "operation "+strconv.Itoa(token)+" is said not to be done and executed at "+strconv.Itoa(int(at.seq)))
		}
		k.w.mark("outcome: " + []string{"done", "not done", "unknown"}[done.Outcome])
		return
	}
	k.w.result.Operations++
	if done.Read {
		k.completedRead(o, token, done)
		return
	}
	at, ok := k.places[string(o.op)]
	if !ok || at.seq != uint64(done.Seq) || at.result != sha256.Sum256(done.Result) {
		k.w.violate(nil, "I8", "a client believes what no correct replica answered, operation "+strconv.Itoa(token))
		return
	}
	r, err := kv.DecodeResult(done.Result)
	if err != nil || r.Code != kv.CodeOK {
		k.w.violate(nil, "I8", "bad result of operation "+strconv.Itoa(token))
		return
	}
	o.read(r.Reply)
	o.revision = r.Revision
}

// read takes out of a reply what the operation saw.
func (o *operation) read(reply kv.Reply) {
	switch p := reply.(type) {
	case kv.RangeReply:
		if len(p.KVs) > 0 {
			o.found = string(p.KVs[0].Value)
		}
	case kv.PutReply:
		if p.Prev != nil {
			o.found = string(p.Prev.Value)
		}
	case kv.TxnReply:
		if o.swapped = p.Succeeded; !o.swapped {
			o.read(p.Replies[0])
		}
	}
}

// finish checks what must hold at the end: every acknowledged operation is in
// the order where it was said to be (I5), correct replicas agree (I4) and
// stand together (I9), and the history is linearizable (I8).
func (k *checker) finish() {
	w := k.w
	var top uint64
	for _, n := range w.nodes {
		if n.correct() && n.up {
			top = max(top, uint64(n.host.Report().Executed))
		}
	}
	for i := range k.history {
		if o := &k.history[i]; o.done && o.outcome == pbft.OutcomeDone && uint64(o.seq) > top {
			w.violate(nil, "I5", "acknowledged operation "+strconv.Itoa(i)+" at slot "+strconv.Itoa(int(o.seq))+" is lost")
		}
	}
	for _, n := range w.nodes {
		if !n.correct() {
			continue
		}
		r := n.host.Report()
		if r.State != "" && !strings.Contains(r.State, "clock") { // said until it votes again
			w.violate(n, "I9", "at the end it "+r.State)
		}
		if uint64(r.Executed) != top {
			w.violate(n, "I9", "stands at "+strconv.Itoa(int(r.Executed))+", others at "+strconv.Itoa(int(top)))
		}
	}
	k.court.close()
	k.linearizable()
}

// names are the marks that were set, sorted.
func (k *checker) names() []string { return slices.Sorted(maps.Keys(k.marks)) }
