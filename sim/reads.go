package sim

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/machine"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// Read implements machine.Reader: the store's.
func (n *node) Read(rows machine.Rows, call machine.Call) ([]byte, uint64, bool) {
	return kv.Machine{}.Read(rows, call)
}

// submit hands an operation to the client's core: most gets to be read without
// the order, half of these at an exact revision.
func (c *client) submit(token int, o *operation, deadline pbft.Ticks) {
	if o.kind == opGet && c.w.c.Choose(4) > 0 {
		o.exact = c.w.c.Choose(2) > 0
		c.core.Read(uint64(token)+1, o.op, o.exact, deadline)
		return
	}
	c.core.Submit(uint64(token)+1, o.op, deadline)
}

// written is a value that a key got at a revision.
type written struct {
	revision int64
	value    string
}

// wrote notes what an operation that executed for the first time changed.
func (k *checker) wrote(o *operation, result []byte) {
	r, err := kv.DecodeResult(result)
	if txn, ok := r.Reply.(kv.TxnReply); err != nil || o.kind == opGet || ok && !txn.Succeeded {
		return
	}
	k.writes[o.key] = append(k.writes[o.key], written{r.Revision, o.value})
}

// completedRead checks the answer to a read that was not ordered. What it may
// have seen is for linearizable to say; at an exact revision only one value is
// right.
func (k *checker) completedRead(o *operation, token int, done pbft.Completion) {
	r, err := kv.DecodeResult(done.Result)
	if err != nil || r.Code != kv.CodeOK || r.Revision != 0 {
		k.w.violate(nil, "I8", "bad result of read "+strconv.Itoa(token))
		return
	}
	o.read(r.Reply)
	o.unordered = true
	k.w.mark("unordered read")
	if !o.exact {
		return
	}
	o.revision = int64(done.Version)
	want := ""
	for _, x := range k.writes[o.key] {
		if x.revision <= o.revision {
			want = x.value
		}
	}
	if want != o.found {
		k.w.violate(nil, "I8", "read "+strconv.Itoa(token)+" says that it saw revision "+strconv.Itoa(int(o.revision))+", where the key had another value")
	}
}

// revisions checks that what is known to have seen a revision has seen one no
// older than what was over before it began.
func (k *checker) revisions() {
	var began, ended []*operation
	for i := range k.history {
		if o := &k.history[i]; o.done && o.outcome == pbft.OutcomeDone && o.revision != 0 {
			began, ended = append(began, o), append(ended, o)
		}
	}
	slices.SortStableFunc(began, func(a, b *operation) int { return cmp.Compare(a.begun, b.begun) })
	slices.SortStableFunc(ended, func(a, b *operation) int { return cmp.Compare(a.ended, b.ended) })
	var seen int64
	for _, o := range began {
		for len(ended) > 0 && ended[0].ended < o.begun {
			seen = max(seen, ended[0].revision)
			ended = ended[1:]
		}
		if o.revision < seen {
			k.w.violate(nil, "I8", "revision "+strconv.Itoa(int(o.revision))+" was read after revision "+strconv.Itoa(int(seen)))
			return
		}
	}
}

// stale behaves, but answers reads with what it read of the same key before: it
// speaks for replicas that lag.
type stale struct {
	adversary
	w    *World
	seen map[string][]pbft.ReadItem // by key, oldest first, at most oldReads
}

const oldReads = 4

// ToReplica implements host.Outbox.
func (a *stale) ToReplica(id int, f *wire.Frame) { a.next.ToReplica(id, f) }

// ToClient implements host.Outbox.
func (a *stale) ToClient(key auth.PublicKey, f *wire.Frame) {
	if m, err := pbft.Decode(a.cfg, f); err == nil {
		if p, ok := m.ReadAnswer(); ok {
			for i := range p.Items {
				p.Items[i] = a.older(p.Items[i])
			}
			f = p.Frame(a.cfg, a.self)
		}
	}
	a.next.ToClient(key, f)
}

// older is an earlier answer for the key of x, if one is known, or x.
func (a *stale) older(x pbft.ReadItem) pbft.ReadItem {
	if x.Kind != pbft.ReadRows {
		return x
	}
	r, err := kv.DecodeResult(x.Result)
	reply, ok := r.Reply.(kv.RangeReply)
	if err != nil || !ok || len(reply.KVs) == 0 {
		return x
	}
	key := string(reply.KVs[0].Key)
	list := a.seen[key]
	if n := len(list); n == 0 || !bytes.Equal(list[n-1].Result, x.Result) {
		if list = append(list, x); len(list) > oldReads {
			list = list[1:]
		}
		a.seen[key] = list
	}
	return list[max(0, len(list)-1-a.w.c.Choose(3))]
}
