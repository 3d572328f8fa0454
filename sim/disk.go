package sim

import (
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/storage"
	"github.com/tagma-db/tagma/wire"
)

// disk is a node's log as its host sees it: records wait in memory until a
// sync that takes virtual time has written them. What a process or a power
// failure leaves is decided by how far that sync came.
type disk struct {
	log    *storage.Log
	buffer [][]byte // appended and not yet written; bounded by the syncs
	next   uint64   // position of the next record
	memory *memory
}

// memory is what the checkers know of one disk: which certificates it holds
// for sure, and the highest slot that it speaks of (INV-21, D1, D3).
type memory struct {
	certs  map[pbft.Vote]bool
	mark   pbft.Seq             // D
	fixed  pbft.Seq             // highest slot of an own NewView
	view   pbft.View            // highest view whose NewView it holds
	signed map[wire.Digest]bool // own checkpoints, view-changes and NewViews
	young  []saying             // not durable yet, by position
}

// saying is what one record says.
type saying struct {
	position uint64
	mark     pbft.Seq
	fixed    pbft.Seq
	view     pbft.View
	signed   wire.Digest
	cert     pbft.Vote // Seq 0: none
}

func newMemory() *memory { return &memory{certs: map[pbft.Vote]bool{}, signed: map[wire.Digest]bool{}} }

// Append implements host.Log.
func (d *disk) Append(record []byte) (position uint64) {
	d.buffer = append(d.buffer, record)
	position = d.next
	d.next++
	if s, ok := read(record); ok {
		s.position = position
		d.memory.young = append(d.memory.young, s)
	}
	return position
}

// write gives the first n records to the log and syncs it.
func (d *disk) write(n int) (position uint64, err error) {
	for _, record := range d.buffer[:n] {
		d.log.Append(record)
	}
	d.buffer = append(d.buffer[:0:0], d.buffer[n:]...)
	return d.log.Sync()
}

// durable notes that all records up to position are.
func (m *memory) durable(position uint64) {
	n := 0
	for ; n < len(m.young) && m.young[n].position <= position; n++ {
		m.know(m.young[n])
	}
	m.young = append(m.young[:0], m.young[n:]...)
}

func (m *memory) know(s saying) {
	m.mark, m.fixed, m.view = max(m.mark, s.mark), max(m.fixed, s.fixed), max(m.view, s.view)
	m.signed[s.signed] = true
	if s.cert.Seq != 0 {
		m.certs[s.cert] = true
	}
}

// Kinds of the core's records that the checkers read.
const (
	recVote       = 1
	recPrepared   = 3
	recView       = 4
	recNewView    = 6
	recCheckpoint = 7
	recStable     = 8
	recExecuted   = 9
	recMark       = 10
)

// read tells what a record says of slots.
func read(record []byte) (s saying, ok bool) {
	r := wire.NewReader(record)
	kind := r.U8()
	r.Raw(16)
	switch kind {
	case recVote:
		s.mark = voteOf(r.Bytes(wire.MaxFrame)).Seq
	case recPrepared:
		s.cert = voteOf(r.Bytes(wire.MaxFrame))
		s.mark = s.cert.Seq
	case recView:
		r.U64()
		if f, err := wire.Decode(r.Bytes(wire.MaxFrame)); err == nil {
			s.signed = f.Digest()
		}
	case recNewView:
		if f, err := wire.Decode(r.Bytes(wire.MaxFrame)); err == nil {
			body := wire.NewReader(f.Body)
			s.view, s.signed = pbft.View(body.U64()), f.Digest()
			for _, v := range proposals(f) {
				s.fixed = max(s.fixed, v.Seq)
			}
		}
	case recCheckpoint:
		s.mark, s.signed = checkpointOf(r.Bytes(wire.MaxFrame))
	case recStable:
		if r.U16() > 0 {
			s.mark, _ = checkpointOf(r.Bytes(wire.MaxFrame))
		}
	case recExecuted, recMark:
		s.mark = pbft.Seq(r.U64())
	default:
		return s, false
	}
	return s, r.Err() == nil
}

func voteOf(raw []byte) pbft.Vote {
	f, err := wire.Decode(raw)
	if err != nil {
		return pbft.Vote{}
	}
	return vote(f)
}

// vote reads the body of a pre-prepare, prepare or commit.
func vote(f *wire.Frame) pbft.Vote {
	r := wire.NewReader(f.Body)
	return pbft.Vote{View: pbft.View(r.U64()), Seq: pbft.Seq(r.U64()), Digest: r.Digest()}
}

func checkpointOf(raw []byte) (pbft.Seq, wire.Digest) {
	f, err := wire.Decode(raw)
	if err != nil {
		return 0, wire.Digest{}
	}
	r := wire.NewReader(f.Body)
	return pbft.Seq(r.U64()), f.Digest()
}

// proposals reads the pre-prepares that a NewView contains.
func proposals(f *wire.Frame) (out []pbft.Vote) {
	r := wire.NewReader(f.Body)
	r.U64()
	r.Raw(34 * int(r.U16()))
	for n := int(r.U16()); n > 0 && r.Err() == nil; n-- {
		out = append(out, voteOf(r.Bytes(wire.MaxFrame)))
	}
	return out
}
