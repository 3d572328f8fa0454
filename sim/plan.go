package sim

import (
	"slices"

	"github.com/tagma-db/tagma/host"
	"github.com/tagma-db/tagma/pbft"
)

// Options narrow what a run draws; the zero value leaves everything to the seed.
type Options struct {
	N         int    // replicas, 0: drawn from 4 … 7
	Byzantine string // kind of the Byzantine replicas, "none", or "": drawn
	Primary   bool   // with Byzantine: f of them, the first primary among them
	Calm      bool   // no fault but what Byzantine asks for
	Crash     bool   // power losses of one and of all, nobody Byzantine (must-show 4)
	Messages  int    // delivered before the healing, 0: drawn
	Horizon   int    // milliseconds before the healing at most, 0: drawn
	Choices   []uint32
	Record    bool // keep the choices in Result.Choices
	Log       func(line string)
}

// plan is all that a run decides before it begins.
type plan struct {
	n        int
	offset   int // of the group: its first primary
	params   pbft.Params
	sessions host.SessionLimits
	real     bool // Ed25519, not ideal signatures
	pebble   bool
	segment  int64
	journal  int // bytes after which the trees are saved
	archive  pbft.Seq

	clients int
	keys    int
	think   int // µs between an answer and the next operation
	depth   int // operations of a client at a time
	patient int // of 8 operations so many wait for ever, the others give up soon

	delay  int // µs, shortest
	jitter int
	fifo   bool
	grain  int // µs from the first frame in an inbox to the round
	disk   int // µs of a sync, shortest
	lag    int // µs at most of a thing that runs beside a host
	skew   int // ms between clocks at most
	drift  int // millionths

	drop, twice, stray int // of 10,000 messages, before the healing
	slow               int // of 1,000 syncs
	kinds              []int
	pace               int      // µs between faults on average
	away               int      // ms that a fault lasts at most
	kindOf             []string // by identity, "" for correct
	messages           int
	horizon            micros
}

// Faults that happen from time to time.
const (
	faultKill = iota
	faultPower
	faultStop
	faultAll
	faultIsolate
	faultHalves
	faultOneWay
	faultBreak
	faultPause
	faultCut
	faultClient
	faultReplay
	faultKinds
)

func draw(c *Chooser, o Options) plan {
	p := plan{n: o.N, params: pbft.Defaults(), sessions: host.DefaultSessions()}
	if p.n == 0 {
		p.n = []int{4, 4, 4, 4, 4, 5, 6, 7}[c.Choose(8)]
	}
	p.offset = c.Choose(p.n)
	p.drawParams(c)
	p.real, p.pebble = c.Chance(1, 10), c.Chance(1, 10)
	p.segment = int64(16<<10) << c.Choose(4)
	p.archive = pbft.Seq(c.Scale(1, int(16*p.params.Log)))
	p.journal, p.lag = c.Scale(200, 100_000), c.Scale(10, 300_000)
	p.clients, p.keys, p.depth = c.Between(2, 6), c.Between(1, 4), c.Between(1, 3)
	p.think, p.patient = c.Between(1, 6)*c.Scale(1000, 80_000), c.Choose(9)
	p.delay = c.Scale(100, 2000)
	p.jitter, p.fifo = p.delay*c.Choose(4)/2+50, c.Chance(1, 2)
	p.grain, p.disk = c.Scale(10, 300), c.Scale(100, 3000)
	p.skew, p.drift = c.Choose(300), c.Choose(200)
	p.away = c.Scale(100, 4000)
	p.messages, p.horizon = c.Between(6000, 16_000), micros(c.Between(10_000, 30_000))*millisecond
	p.drawFaults(c, o)
	p.drawByzantine(c, o)
	if o.Messages > 0 {
		p.messages = o.Messages
	}
	if o.Horizon > 0 {
		p.horizon = micros(o.Horizon) * millisecond
	}
	return p
}

func (p *plan) drawParams(c *Chooser) {
	q := &p.params
	q.Interval = pbft.Seq(4 << c.Choose(4))
	q.Log = q.Interval * pbft.Seq(c.Between(2, 4))
	q.Window = min(pbft.Seq(2<<c.Choose(4)), q.Log)
	q.BatchCount = c.Scale(1, 16)
	q.BatchSize = 1 << c.Between(9, 14)
	q.ViewTimeout, q.ViewMax = pbft.Ticks(c.Between(30, 60)), pbft.Ticks(c.Between(200, 400))
	q.Quiet, q.StatusMax = pbft.Ticks(c.Between(20, 100)), pbft.Ticks(c.Between(50, 100))
}

func (p *plan) drawFaults(c *Chooser, o Options) {
	p.pace = c.Scale(100_000, 1_500_000)
	if c.Chance(1, 2) {
		p.drop = c.Scale(1, 600)
	}
	if c.Chance(1, 2) {
		p.twice = c.Scale(1, 600)
	}
	if c.Chance(1, 2) {
		p.stray = c.Scale(1, 300)
	}
	if c.Chance(1, 2) {
		p.slow = c.Scale(1, 60)
	}
	for kind := range faultKinds {
		if c.Chance(1, 2) {
			p.kinds = append(p.kinds, kind)
		}
	}
	if o.Crash {
		p.kinds = []int{faultPower, faultPower, faultAll, faultKill, faultCut, faultAll}
		p.pace = c.Scale(100_000, 600_000)
	}
	if o.Calm {
		p.kinds, p.drop, p.twice, p.stray, p.slow = nil, 0, 0, 0, 0
	}
}

// Kinds are the kinds of Byzantine replicas that Options.Byzantine can name,
// besides "none".
func Kinds() []string { return slices.Clone(byzantine) }

// kinds of Byzantine replicas that runs draw.
var byzantine = []string{"mute", "lie", "equivocate", "twins", "mutate", "replay", "stale"}

func (p *plan) drawByzantine(c *Chooser, o Options) {
	p.kindOf = make([]string, p.n)
	f := (p.n - 1) / 3
	some, first := c.Chance(55, 100), c.Chance(45, 100)
	count := 1 + c.Choose(f)
	if first || o.Primary {
		count = f
	}
	kind := o.Byzantine
	if kind == "none" || o.Crash || kind == "" && (o.Calm || !some) {
		return
	}
	for i := range count {
		id := c.Choose(p.n)
		if i == 0 && (first || o.Primary) {
			id = p.offset
		}
		for p.kindOf[id] != "" {
			id = (id + 1) % p.n
		}
		p.kindOf[id] = kind
		if kind == "" {
			p.kindOf[id] = byzantine[c.Choose(len(byzantine))]
		}
	}
}
