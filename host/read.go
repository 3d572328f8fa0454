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

// answerRead answers a read from the state executed here (docs/protocol.md
// section 10). It leaves no trace: no row, record or session.
func (h *Host) answerRead(d *pbft.DueRead) {
	a := pbft.ReadAnswer{Nonce: d.Read.Nonce}
	if !d.Late {
		a.Seq, a.Items = pbft.Seq(h.state.seq), make([]pbft.ReadItem, len(d.Read.Ops))
		h.readAll(d, a.Items)
	}
	if h.o.Store.Err() != nil {
		return // made from rows that could not be read (D6)
	}
	h.o.Outbox.ToClient(d.Client, a.Frame(h.cfg, h.o.Self))
}

// readAll runs the operations and fills in what they saw. A result that finds
// no room beside others is told by its digest.
func (h *Host) readAll(d *pbft.DueRead, items []pbft.ReadItem) {
	reader, ok := h.o.Machine.(machine.Reader)
	if ok = ok && h.o.Allowed(d.Client); !ok { // the order says why
		for i := range items {
			items[i].Kind = pbft.ReadRefused
		}
		return
	}
	t := &tracked{store: h.o.Store}
	rows := &readOnly{scoped: t.scope(d.Read.Keyspace, partMachine), left: &h.readsLeft}
	call := machine.Call{Keyspace: d.Read.Keyspace, Principal: d.Client}
	all := d.Read.Full == h.o.Self || d.Read.Full == pbft.FullFromAll
	room := pbft.MaxResult
	for i, op := range d.Read.Ops {
		x := &items[i]
		call.Op = op
		var result []byte
		if result, x.Version, x.Kind = h.readOne(reader, rows, call); x.Kind != pbft.ReadRows {
			continue
		}
		x.Digest = pbft.ResultDigest(result)
		if x.Full = (all || len(result) <= pbft.ShortResult) && len(result) <= room; x.Full {
			x.Result = result
			room -= len(result)
		}
	}
}

func (h *Host) readOne(reader machine.Reader, rows *readOnly, call machine.Call) ([]byte, uint64, pbft.ReadKind) {
	if h.readsLeft < 0 {
		return nil, 0, pbft.ReadRetry
	}
	alone := h.readsLeft == maxReadCost
	result, version, ok := reader.Read(rows, call)
	switch {
	case !ok, rows.wrote, len(result) > pbft.MaxResult-4, h.readsLeft < 0 && alone:
		return nil, 0, pbft.ReadRefused
	case h.readsLeft < 0:
		return nil, 0, pbft.ReadRetry
	}
	return result, version, pbft.ReadRows
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
