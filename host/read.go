package host

import (
	"github.com/tagma-db/tagma/machine"
	"github.com/tagma-db/tagma/pbft"
)

// maxReadCost bounds what the unordered reads of one round cost together, in
// rows that they pass, or every 64 bytes of a row: some tens of milliseconds.
// A read that alone costs more is refused, and bounded by the order then
// (maxVisits); one that comes after others have used it up is to come again.
const maxReadCost = 1 << 18

// answerRead answers one read from the state executed here (docs/protocol.md
// section 10). It leaves no trace: no row, record or session.
func (h *Host) answerRead(d *pbft.DueRead) {
	a := pbft.ReadAnswer{Nonce: d.Read.Nonce, Kind: d.Kind}
	if d.Kind == pbft.ReadRows {
		h.readRows(d, &a)
	}
	if h.o.Store.Err() != nil {
		return // made from rows that could not be read (D6)
	}
	h.o.Outbox.ToClient(d.Client, a.Frame(h.cfg, h.o.Self))
}

// readRows runs the operation and fills in the answer.
func (h *Host) readRows(d *pbft.DueRead, a *pbft.ReadAnswer) {
	reader, ok := h.o.Machine.(machine.Reader)
	if !ok || !h.o.Allowed(d.Client) { // the order says why
		a.Kind = pbft.ReadRefused
		return
	}
	t := &tracked{store: h.o.Store}
	rows := &readOnly{scoped: t.scope(d.Read.Keyspace, partMachine), left: &h.readsLeft}
	first := h.readsLeft == maxReadCost
	result, version, ok := reader.Read(rows, machine.Call{Keyspace: d.Read.Keyspace, Principal: d.Client, Op: d.Read.Op})
	switch {
	case !ok, rows.wrote, len(result) > pbft.MaxResult-4, h.readsLeft < 0 && first:
		a.Kind = pbft.ReadRefused
		return
	case h.readsLeft < 0:
		a.Kind = pbft.ReadRetry
		return
	}
	a.Seq, a.Version, a.Digest = pbft.Seq(h.state.seq), version, pbft.ResultDigest(result)
	a.Full = d.Read.Full == h.o.Self || d.Read.Full == pbft.FullFromAll || len(result) <= pbft.ShortResult
	if a.Full {
		a.Result = result
	}
}

// readOnly is rows that nobody can write, and of which no more can be seen
// than left allows: what is made of them once left is negative is void.
type readOnly struct {
	*scoped
	left  *int
	wrote bool
}

func (r *readOnly) pay(value []byte) { *r.left -= 1 + len(value)/64 }

// Get implements machine.Rows.
func (r *readOnly) Get(key []byte) ([]byte, bool) {
	value, ok := r.scoped.Get(key)
	r.pay(value)
	return value, ok
}

// Set implements machine.Rows: it only notes that it was called.
func (r *readOnly) Set(_, _ []byte) { r.wrote = true }

// Delete implements machine.Rows: it only notes that it was called.
func (r *readOnly) Delete(_ []byte) { r.wrote = true }

// Scan implements machine.Rows.
func (r *readOnly) Scan(lo, hi []byte, yield func(key, value []byte) bool) {
	r.scoped.Scan(lo, hi, r.paid(yield))
}

// ScanBack implements machine.Rows.
func (r *readOnly) ScanBack(lo, hi []byte, yield func(key, value []byte) bool) {
	r.scoped.ScanBack(lo, hi, r.paid(yield))
}

func (r *readOnly) paid(yield func(key, value []byte) bool) func(key, value []byte) bool {
	return func(key, value []byte) bool {
		r.pay(value)
		return *r.left >= 0 && yield(key, value)
	}
}
