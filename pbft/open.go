package pbft

import (
	"errors"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/wire"
)

// Errors of Decode and Open. Each names why a frame is junk here.
var (
	ErrKind      = errors.New("unknown kind of message")
	ErrScope     = errors.New("frame of another cluster, group or epoch")
	ErrAuthor    = errors.New("frame's author may not send this message")
	ErrUnsigned  = errors.New("frame has no signature, or one that it must not have")
	ErrSignature = errors.New("signature does not verify")
)

// signed lists the kinds that carry their author's signature.
func (k Kind) signed() bool {
	switch k {
	case KindRequest, KindPrePrepare, KindPrepare, KindCheckpoint, KindViewChange, KindNewView:
		return true
	}
	return false
}

// authorless lists the kinds that no replica signs or sends in its own name.
func (k Kind) authorless() bool {
	return k == KindRequest || k == KindBatch || k == KindProbe || k == KindRead
}

// Decode parses a frame's body: everything that can be checked without a
// signature. Work and memory are bounded by the frame's size.
func Decode(c *Config, f *wire.Frame) (*Message, error) {
	kind := Kind(f.Kind)
	if kind == 0 || kind >= kindEnd {
		return nil, ErrKind
	}
	if f.Header != c.header(kind, int(f.Author)) {
		return nil, ErrScope
	}
	if kind.authorless() != (f.Author == wire.NoAuthor) || !kind.authorless() && int(f.Author) >= len(c.Members) {
		return nil, ErrAuthor
	}
	if kind.signed() != (f.Signature != nil) {
		return nil, ErrUnsigned
	}
	m := &Message{Frame: f}
	r := wire.NewReader(f.Body)
	m.body = decodeBody(c, &r, f)
	if err := r.Done(); err != nil {
		return nil, err
	}
	return m, checkRole(c, m)
}

func decodeBody(c *Config, r *wire.Reader, f *wire.Frame) any {
	switch Kind(f.Kind) {
	case KindRequest:
		return decodeRequest(r, f)
	case KindBatch:
		return decodeBatch(c, r)
	case KindPrePrepare, KindPrepare, KindCommit:
		return decodeVote(r)
	case KindReply:
		return decodeReply(r)
	case KindCheckpoint:
		return decodeCheckpoint(r)
	case KindViewChange:
		return decoder{c}.viewChange(r)
	case KindNewView:
		return decoder{c}.newView(r)
	case KindStatus:
		return decodeStatus(r)
	case KindFetch:
		return &Fetch{Digests: decodeDigests(r, MaxFetch)}
	case KindProbe:
		return &Probe{Nonce: r.U64(), Wanted: decodeDigests(r, MaxWanted)}
	case KindStateFetch:
		return decodeStateFetch(r)
	case KindStateBlob:
		return decodeStateBlob(r)
	case KindReport:
		return decodeReport(c, r)
	case KindRead:
		return decodeRead(r)
	default:
		return decodeReadAnswer(r)
	}
}

// checkRole refuses votes by a replica whose role in the view has no such vote.
func checkRole(c *Config, m *Message) error {
	switch b := m.body.(type) {
	case *Vote:
		primary := c.Primary(b.View) == m.Author()
		if m.Kind() == KindPrePrepare && !primary || m.Kind() == KindPrepare && primary {
			return ErrAuthor
		}
	case *NewView:
		if c.Primary(b.View) != m.Author() {
			return ErrAuthor
		}
	}
	return nil
}

// Verified is a message whose every signature has been checked. Only Open
// makes one.
type Verified struct{ *Message }

// Opener checks signatures, each frame once: what verified is remembered by
// the digest of the whole frame, failures never are. It is not safe for
// concurrent use.
type Opener struct {
	cfg      *Config
	verifier auth.Verifier
	young    map[wire.Digest]struct{} // at most openerSize
	old      map[wire.Digest]struct{} // at most openerSize
}

const openerSize = 8192

// NewOpener makes an Opener for one group and epoch.
func NewOpener(c *Config, v auth.Verifier) *Opener {
	return &Opener{cfg: c, verifier: v, young: map[wire.Digest]struct{}{}}
}

// Open checks every signature in m. The error is ErrSignature.
func (o *Opener) Open(m *Message) (Verified, error) {
	if err := o.open(m); err != nil {
		return Verified{}, err
	}
	return Verified{m}, nil
}

func (o *Opener) open(m *Message) error {
	if m.Kind().signed() {
		key := auth.PublicKey{}
		if q, ok := m.body.(*Request); ok {
			key = q.Client
		} else {
			key = o.cfg.Members[m.Author()]
		}
		if !o.check(key, m.Frame) {
			return ErrSignature
		}
	}
	switch b := m.body.(type) {
	case *ViewChange:
		return o.openViewChange(b)
	case *NewView:
		for _, p := range b.Proposals {
			if !o.check(o.cfg.Members[p.Author()], p.Frame) {
				return ErrSignature
			}
		}
	}
	return nil
}

func (o *Opener) openViewChange(c *ViewChange) error {
	ok := c.Stable == nil || o.checkAll(c.Stable.frames)
	for i := range c.Prepared {
		p := &c.Prepared[i]
		ok = ok && o.check(o.cfg.Members[p.proposal.Author], p.proposal) && o.checkAll(p.prepares)
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

func (o *Opener) checkAll(frames []*wire.Frame) bool {
	for _, f := range frames {
		if !o.check(o.cfg.Members[f.Author], f) {
			return false
		}
	}
	return true
}

func (o *Opener) check(key auth.PublicKey, f *wire.Frame) bool {
	d := f.Digest()
	if _, ok := o.young[d]; ok {
		return true
	}
	if _, ok := o.old[d]; !ok && !o.verifier.Verify(key, f.Statement(), f.Signature) {
		return false
	}
	if len(o.young) >= openerSize {
		o.old, o.young = o.young, map[wire.Digest]struct{}{}
	}
	o.young[d] = struct{}{}
	return true
}
