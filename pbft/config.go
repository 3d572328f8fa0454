package pbft

import (
	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/quorum"
	"github.com/tagma-db/tagma/wire"
)

// Seq is a position in a group's order; the first batch has 1.
type Seq uint64

// View is the period of one primary.
type View uint64

// Ticks is monotonic logical time; one tick is 10 ms in a real process.
type Ticks uint64

// Params are the protocol's parameters, the same at every replica of a group.
// docs/protocol.md section 13 has the defaults.
type Params struct {
	Window       Seq   // W: slots in flight, and how far votes run ahead of the synced log
	Interval     Seq   // K: slots between checkpoints
	Log          Seq   // L ≥ 2K: slots between the watermarks, a ring
	IntervalSize int   // bytes of bodies after which a checkpoint is due
	BatchSize    int   // bytes of request bodies in a batch, unless one alone is larger
	BatchCount   int   // requests in a batch
	ViewTimeout  Ticks // base of the view time-out
	ViewMax      Ticks // its cap
	Quiet        Ticks // without a new slot, until the tip is checkpointed
	StatusMin    Ticks // first pause between statuses
	StatusMax    Ticks // longest pause between statuses
	TimeBound    int64 // milliseconds that a batch's time may differ from a backup's clock
	PendingCount int   // P: requests pending in all
	PendingSize  int   // and their bytes
	ClientCount  int   // requests pending of one client
	ClientSize   int   // and their bytes
}

// Defaults are the parameters of a cluster whose genesis names no others.
func Defaults() Params {
	return Params{
		Window: 32, Interval: 256, Log: 512, IntervalSize: 64 << 20,
		BatchSize: 1 << 20, BatchCount: 64,
		ViewTimeout: 50, ViewMax: 3000, Quiet: 100, StatusMin: 5, StatusMax: 500,
		TimeBound: 1000, PendingCount: 4096, PendingSize: 64 << 20,
		ClientCount: 64, ClientSize: 8 << 20,
	}
}

// Bounds of messages that do not depend on parameters.
const (
	MaxKeyspace   = 255     // bytes of a keyspace's name, at least 1
	MaxOperation  = 3 << 19 // 1.5 MiB, one operation
	MaxRequest    = 2 << 20 // a request's operations in all
	MaxOperations = 1024    // operations of a request
	MaxBatch      = 1024    // digests that a batch can name, whatever Params.BatchCount says
	MaxClaims     = 64      // batch digests in a Status
	MaxFetch      = 64      // digests in a Fetch
	MaxSlots      = 4096    // slots of a view-change
	maxSeq        = 1 << 62 // sums of what is decoded do not overflow
	maxView       = 1 << 62
	maxViewJump   = 1 << 32 // a peer's view further above ours is refused
	MaxWanted     = 64      // items of evidence that a Probe can ask for
	maxHeld       = 4096    // items that a Report can name
	maxShown      = 3 << 20 // bytes of the items in a Report
	maxAnswers    = 4       // questions of one replica answered in a tick
)

// MaxResult bounds the result of one request, in bytes; the result of an
// operation that no longer fits is replaced by an empty one.
const MaxResult = 3 << 20

// Config is what one replica, or one client, knows of its group in one epoch.
// It never changes: another epoch is another Replica.
type Config struct {
	Cluster wire.Digest
	Group   uint64
	Epoch   uint64
	Offset  uint64 // the primary of view v is replica (v + Offset) mod n
	Members []auth.PublicKey
	Params  Params
}

// Size is the number of replicas.
func (c *Config) Size() quorum.Size { return quorum.Size(len(c.Members)) }

// Primary is the primary of view v.
func (c *Config) Primary(v View) int {
	return int((uint64(v)%uint64(len(c.Members)) + c.Offset%uint64(len(c.Members))) % uint64(len(c.Members)))
}

// header is the tag of a frame by the given author.
func (c *Config) header(kind Kind, author int) wire.Header {
	h := wire.Header{Kind: uint8(kind), Cluster: c.Cluster, Group: c.Group, Epoch: c.Epoch, Author: uint16(author)}
	if kind == KindRequest {
		h.Group, h.Epoch = 0, 0
	}
	return h
}
