package host

import (
	"bytes"
	"encoding/binary"

	"github.com/tagma-db/tagma/machine"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// SessionLimits bound what one client can make every replica keep. They are
// the same at every replica: they decide results.
type SessionLimits struct {
	Expiry  int64  // E: milliseconds without use after which a session is over
	Window  uint64 // numbers above acked that may execute
	Records int    // session records of one client in one keyspace
	Cached  uint64 // bytes of results kept of one session
}

// DefaultSessions are the limits of docs/protocol.md section 13.
func DefaultSessions() SessionLimits {
	return SessionLimits{Expiry: 3_600_000, Window: 64, Records: 256, Cached: 4 << 20}
}

// Rows of a keyspace's session part:
//
//	1 | client 32 | session 16             used, acked, top, kept, cached
//	2 | client 32 | session 16 | number 8  seq, status, request digest, result
//	3 | client 32                          floor
//
// Departure (docs/protocol.md section 11): a client that opens more sessions
// than are recorded, as a command line does, is not refused. The record unused
// for longest goes, and the floor rises to the time at which that session was
// opened; a session opened at or before the floor and without a record is over.
// So nothing can execute twice, and the records stay bounded.
const (
	rowSession = 1
	rowResult  = 2
	rowFloor   = 3
)

// session is one session's record.
type session struct {
	used   int64  // agreed time of its last request
	acked  uint64 // numbers up to this are over
	top    uint64 // highest executed number
	kept   uint64 // results at and above this number are kept
	cached uint64 // bytes of them

	limits  *SessionLimits
	fresh   bool // no record yet
	verdict verdict
	status  pbft.ReplyStatus // of a definite verdict
	cache   *pbft.Reply      // of verdictDone, when the request was this very one
}

type verdict uint8

const (
	verdictRun   verdict = iota
	verdictDone          // the number has executed
	verdictError         // it never can; status says why
	verdictLater         // not now
)

func sessionKey(kind byte, q *pbft.Request) []byte {
	key := make([]byte, 0, 1+32+16+8)
	key = append(key, kind)
	key = append(key, q.Client[:]...)
	return append(key, q.Session[:]...)
}

func resultKey(q *pbft.Request, number uint64) []byte {
	return binary.BigEndian.AppendUint64(sessionKey(rowResult, q), number)
}

// openSession judges a request against the rows, at agreed time now.
func (h *Host) openSession(rows machine.Rows, q *pbft.Request, now int64) *session {
	limits := &h.o.Sessions
	s := &session{limits: limits}
	value, ok := rows.Get(sessionKey(rowSession, q))
	if ok {
		r := wire.NewReader(value)
		s.used, s.acked, s.top, s.kept, s.cached = r.I64(), r.U64(), r.U64(), r.U64(), r.U64()
		if r.Done() != nil {
			panic("host: session record does not decode")
		}
	}
	s.fresh = !ok
	switch {
	case !h.o.Allowed(q.Client):
		s.verdict, s.status = verdictError, pbft.Denied
	case s.fresh:
		h.judgeFresh(rows, s, q, now)
	case q.Number <= s.acked:
		s.verdict, s.status = verdictError, pbft.TooOld
	case h.findResult(rows, s, q):
	case now > s.used+limits.Expiry:
		s.verdict, s.status = verdictError, pbft.Expired
	case q.Number > max(s.acked, q.Acked)+limits.Window:
		s.verdict = verdictLater
	}
	return s
}

// judgeFresh decides whether a first request may open its session.
func (h *Host) judgeFresh(rows machine.Rows, s *session, q *pbft.Request, now int64) {
	opened := q.Session.Opened()
	switch {
	case opened < now-s.limits.Expiry, opened <= floor(rows, q):
		s.verdict, s.status = verdictError, pbft.Expired
	case opened > now+s.limits.Expiry, q.Number > q.Acked+s.limits.Window,
		opened > now && countFuture(rows, q, now) >= s.limits.Records/2:
		s.verdict = verdictLater
	}
}

// countFuture counts the client's sessions that were opened later than now:
// by a clock that is fast. They take at most half of the records, so that the
// floor need never rise beyond now.
func countFuture(rows machine.Rows, q *pbft.Request, now int64) int {
	count := 0
	lo := append([]byte{rowSession}, q.Client[:]...)
	rows.Scan(lo, after(lo), func(key, _ []byte) bool {
		if sessionOf(key).Opened() > now {
			count++
		}
		return true
	})
	return count
}

func floorKey(q *pbft.Request) []byte { return append([]byte{rowFloor}, q.Client[:]...) }

// floor is the opening time up to which sessions without a record are over.
func floor(rows machine.Rows, q *pbft.Request) int64 {
	value, ok := rows.Get(floorKey(q))
	if !ok {
		return 0
	}
	r := wire.NewReader(value)
	return r.I64()
}

// findResult looks for the number's result and reports whether it executed.
func (h *Host) findResult(rows machine.Rows, s *session, q *pbft.Request) bool {
	if q.Number > s.top {
		return false // spares the search for a row that is not there
	}
	value, ok := rows.Get(resultKey(q, q.Number))
	if !ok {
		return false
	}
	r := wire.NewReader(value)
	p := &pbft.Reply{Seq: pbft.Seq(r.U64()), Status: pbft.ReplyStatus(r.U8())}
	digest := r.Digest()
	p.Digest = r.Digest()
	p.Result = append([]byte(nil), r.Bytes(pbft.MaxResult)...)
	if r.Done() != nil {
		panic("host: result does not decode")
	}
	s.verdict, s.cache = verdictDone, p
	if digest != q.Frame().Digest() {
		s.verdict, s.status = verdictError, pbft.Reused
	}
	return true
}

// save records that q executed, and its result.
func (s *session) save(rows machine.Rows, q *pbft.Request, p *pbft.Reply, now int64) {
	if s.fresh {
		makeRoom(rows, q, now, s.limits)
	}
	s.used = now
	for ; s.acked < q.Acked; s.acked++ {
		number := s.acked + 1
		if number > s.top {
			s.acked = q.Acked
			break
		}
		s.drop(rows, q, number, true)
	}
	s.top = max(s.top, q.Number)
	s.kept = max(s.kept, s.acked+1)
	var w wire.Writer
	w.U64(uint64(p.Seq))
	w.U8(uint8(p.Status))
	d := q.Frame().Digest()
	w.Raw(d[:])
	w.Raw(p.Digest[:])
	w.Bytes(p.Result)
	rows.Set(resultKey(q, q.Number), w.B)
	s.cached += uint64(len(p.Result))
	for ; s.cached > s.limits.Cached && s.kept < q.Number; s.kept++ {
		s.drop(rows, q, s.kept, false)
	}
	var rec wire.Writer
	rec.I64(s.used)
	rec.U64(s.acked)
	rec.U64(s.top)
	rec.U64(s.kept)
	rec.U64(s.cached)
	rows.Set(sessionKey(rowSession, q), rec.B)
}

// drop forgets a number's result: wholly once it is acked, else only its
// bytes, so that it still cannot execute again.
func (s *session) drop(rows machine.Rows, q *pbft.Request, number uint64, whole bool) {
	key := resultKey(q, number)
	value, ok := rows.Get(key)
	if !ok {
		return
	}
	r := wire.NewReader(value)
	head := append([]byte(nil), r.Raw(8+1+32+32)...)
	s.cached -= uint64(len(r.Bytes(pbft.MaxResult)))
	if whole {
		rows.Delete(key)
		return
	}
	w := wire.Writer{B: head}
	w.B[8] = uint8(pbft.TooOld)
	w.Bytes(nil)
	rows.Set(key, w.B)
}

// makeRoom deletes the client's sessions that need not be kept any more:
// unused for E, and not openable again; and, if the limit is reached all the
// same, the one unused for longest.
func makeRoom(rows machine.Rows, q *pbft.Request, now int64, limits *SessionLimits) {
	var over [][]byte
	var oldest []byte
	var oldestUsed int64
	count := 0
	lo := append([]byte{rowSession}, q.Client[:]...)
	rows.Scan(lo, after(lo), func(key, value []byte) bool {
		r := wire.NewReader(value)
		used := r.I64()
		if now > used+limits.Expiry && now > sessionOf(key).Opened()+limits.Expiry {
			over = append(over, append([]byte(nil), key...))
			return true
		}
		count++
		if sessionOf(key).Opened() <= now && (oldest == nil || used < oldestUsed) {
			oldest, oldestUsed = append([]byte(nil), key...), used
		}
		return true
	})
	if count >= limits.Records && oldest != nil {
		over = append(over, oldest)
		var w wire.Writer
		w.I64(max(floor(rows, q), sessionOf(oldest).Opened()))
		rows.Set(floorKey(q), w.B)
	}
	for _, key := range over {
		rows.Delete(key)
		key[0] = rowResult
		var results [][]byte
		rows.Scan(key, after(key), func(key, _ []byte) bool {
			results = append(results, append([]byte(nil), key...))
			return true
		})
		for _, key := range results {
			rows.Delete(key)
		}
	}
}

// after is the end of the rows whose keys begin with prefix and go on with a
// session or a number, which are at most 16 bytes.
func after(prefix []byte) []byte {
	return append(append([]byte(nil), prefix...), bytes.Repeat([]byte{0xff}, 17)...)
}

func sessionOf(key []byte) (id pbft.SessionID) {
	copy(id[:], key[33:])
	return id
}

// read gives the session rows of a request's keyspace, read only.
func (h *Host) read(q *pbft.Request) *scoped {
	t := &tracked{store: h.o.Store}
	return t.scope(q.Keyspace, partSessions)
}

// Judge implements pbft.Judge from the executed state.
func (h *Host) Judge(q *pbft.Request, now int64) pbft.Admission {
	if h.state.partial {
		return pbft.NotNow
	}
	switch h.openSession(h.read(q), q, h.state.time).verdict {
	case verdictRun:
		return pbft.Admissible
	case verdictLater: // by the agreed time, which may have stood still for long
		if h.openSession(h.read(q), q, now).verdict == verdictLater {
			return pbft.NotNow
		}
		return pbft.Admissible // if it has expired, the order will say so
	}
	return pbft.Executed
}

// answered answers a request that has executed or never can, with the full
// result, and reports whether it did. Only the executed state decides: what
// this replica's clock says is no outcome.
func (h *Host) answered(q *pbft.Request) bool {
	if h.state.partial {
		return false
	}
	s := h.openSession(h.read(q), q, h.state.time)
	switch s.verdict {
	case verdictDone:
		p := *s.cache
		p.Full = p.Status == pbft.Done
		h.reply(q, p)
		return true
	case verdictError:
		h.reply(q, pbft.Reply{Status: s.status})
		return true
	}
	return false
}
