package pbft

import (
	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/quorum"
)

// requestKey names a request for ever: its number executes at most once.
type requestKey struct {
	client   auth.PublicKey
	session  SessionID
	number   uint64
	keyspace string
}

func (q *Request) key() requestKey {
	return requestKey{q.Client, q.Session, q.Number, string(q.Keyspace)}
}

// entry is one pending request.
type entry struct {
	request  *Request
	arrived  Ticks
	proposed bool       // in a batch of the present view
	relayed  bool       // sent to all at half its time
	by       quorum.Set // relayed here by these replicas
	passed   int        // slots proposed after it was T old and executed without it
	gone     bool
}

// pending are the admissible requests that have not executed, in order of
// arrival: at most Params.PendingCount and PendingSize in all and ClientCount
// and ClientSize of one client, and beside them one per relaying replica.
type pending struct {
	p     *Params
	byKey map[requestKey]*entry
	order []*entry // by arrival; may hold gone entries until the next sweep
	gone  int
	size  int
	each  map[auth.PublicKey]share
}

type share struct{ count, size int }

func newPending(p *Params) pending {
	return pending{p: p, byKey: map[requestKey]*entry{}, each: map[auth.PublicKey]share{}}
}

// add takes a request in. It returns nil if there is no room.
func (p *pending) add(q *Request, now Ticks, relayed bool) *entry {
	size, of := len(q.frame.Raw()), p.each[q.Client]
	full := len(p.byKey) >= p.p.PendingCount || p.size+size > p.p.PendingSize ||
		of.count >= p.p.ClientCount || of.size+size > p.p.ClientSize
	if full && !relayed {
		return nil
	}
	e := &entry{request: q, arrived: now}
	p.byKey[q.key()] = e
	p.order = append(p.order, e)
	p.size += size
	p.each[q.Client] = share{of.count + 1, of.size + size}
	return e
}

// remove drops the request with this key, if it is there.
func (p *pending) remove(k requestKey) {
	e := p.byKey[k]
	if e == nil {
		return
	}
	delete(p.byKey, k)
	e.gone = true
	p.gone++
	size, of := len(e.request.frame.Raw()), p.each[k.client]
	p.size -= size
	if of.count == 1 {
		delete(p.each, k.client)
	} else {
		p.each[k.client] = share{of.count - 1, of.size - size}
	}
	if p.gone > len(p.order)/2 {
		kept := p.order[:0]
		for _, e := range p.order {
			if !e.gone {
				kept = append(kept, e)
			}
		}
		clear(p.order[len(kept):])
		p.order, p.gone = kept, 0
	}
}

// oldest returns the pending request that arrived first, or nil.
func (p *pending) oldest() *entry {
	for _, e := range p.order {
		if !e.gone {
			return e
		}
	}
	return nil
}

// relayedBy returns the oldest request relayed by replica id, or nil.
func (p *pending) relayedBy(id int) *entry {
	for _, e := range p.order {
		if !e.gone && e.by.Has(id) {
			return e
		}
	}
	return nil
}

// pick chooses up to count requests of together size bytes for the next
// batch, but always one: first the oldest relayed by each replica, then
// clients in turn by arrival.
func (p *pending) pick(n quorum.Size, count, size int, admissible func(*Request) bool) []*entry {
	var out []*entry
	take := func(e *entry) bool {
		length := len(e.request.frame.Raw())
		if len(out) == count || len(out) > 0 && length > size {
			return false
		}
		e.proposed = true
		size -= length
		out = append(out, e)
		return true
	}
	var relayed quorum.Set
	for _, e := range p.order {
		if e.by&^relayed != 0 && !e.gone && !e.proposed && admissible(e.request) {
			relayed |= e.by
			take(e)
		}
	}
	for {
		taken := map[auth.PublicKey]bool{}
		more := false
		for _, e := range p.order {
			c := e.request.Client
			if e.gone || e.proposed || !admissible(e.request) {
				continue
			}
			if taken[c] {
				more = true
				continue
			}
			if !take(e) {
				return out
			}
			taken[c] = true
		}
		if !more {
			return out
		}
	}
}

// unpropose makes every request eligible again: a new view began.
func (p *pending) unpropose() {
	for _, e := range p.order {
		e.proposed, e.relayed, e.passed = false, false, 0
	}
}
