package sim

import (
	"strconv"
)

// Bounds of the end of a run, in virtual time.
const (
	healBound  = 120 * second // I9: from the healing to the last answer
	quietBound = 60 * second  // I10: from the last answer to silence
	lastOps    = 6            // operations of each client after the healing
)

// Run makes one run. It shares nothing with other runs.
func Run(seed uint64, o Options) Result {
	w := newWorld(seed, o)
	w.begin()
	for w.phase < over {
		if len(w.queue.heap) == 0 {
			w.silent()
			continue
		}
		e := w.queue.pop()
		w.now = e.at
		w.handle(&e)
		w.advance()
	}
	return w.end()
}

// Crash makes one run in which nobody is Byzantine and disks lose power, one
// or all at a time: every acknowledged write must survive.
func Crash(seed uint64) Result { return Run(seed, Options{Crash: true}) }

// begin starts everything.
func (w *World) begin() {
	for _, n := range w.nodes {
		n.start(true)
	}
	for _, n := range w.nodes {
		w.connect(n)
	}
	for _, c := range w.clients {
		w.call(micros(w.c.Choose(20))*millisecond, c.start)
	}
	if len(w.plan.kinds) > 0 {
		w.nextFault()
	}
	w.call(w.plan.horizon, func() {
		if w.phase == chaos {
			w.heal()
		}
	})
}

// advance moves to the next phase when its time has come.
func (w *World) advance() {
	switch w.phase {
	case chaos:
		if w.delivered >= w.plan.messages {
			w.heal()
		}
	case healed:
		busy := false
		for _, c := range w.clients {
			busy = busy || c.left > 0 || len(c.open) > 0
		}
		if !busy {
			w.result.Healing = (w.now - w.healedAt) / millisecond
			w.healedAt, w.phase = w.now, quiet
			w.logf("quiet")
		} else if w.now > w.healedAt+healBound {
			w.tell()
			w.violate(nil, "I9", w.stuck())
		}
	case quiet:
		if w.now > w.healedAt+quietBound {
			if w.result.Byzantine == 0 {
				w.violate(nil, "I10", "an idle group is not silent")
			}
			w.silent()
		}
	}
}

// tell logs where everyone stands.
func (w *World) tell() {
	for _, n := range w.nodes {
		if n.up {
			r := n.host.Report()
			w.logf("replica %d %s: view %d active %t stable %d executed %d %s", n.id, n.kind, r.View, r.Active, r.Stable, r.Executed, r.State)
		}
	}
}

func (w *World) stuck() string {
	text := "requests do not complete:"
	for _, c := range w.clients {
		for _, token := range c.open {
			text += " " + strconv.Itoa(token)
		}
	}
	return text
}

// silent is the end: nothing will happen any more.
func (w *World) silent() {
	if w.phase == quiet {
		w.check.finish()
	} else {
		w.violate(nil, "I9", "everything stands still; "+w.stuck())
	}
	w.phase = over
}

// heal ends all faults: links are whole, every process runs.
func (w *World) heal() {
	w.phase, w.healedAt = healed, w.now
	w.logf("heal")
	w.mark("healed")
	for _, n := range w.nodes {
		n.paused = 0
		if !n.up && !n.halted {
			w.restart(n)
		}
	}
	w.join()
	for _, c := range w.clients {
		c.left = lastOps
		for range w.plan.depth {
			c.think()
		}
	}
}

// end closes the files and tells the result.
func (w *World) end() Result {
	for _, n := range w.nodes {
		if n.host != nil {
			n.host.Close()
		}
		if n.rows != nil {
			n.rows.Close()
		}
	}
	r := &w.result
	r.Delivered, r.Virtual = w.delivered, w.now/millisecond
	r.ViewChanges = len(w.check.views)
	r.Marks, r.Choices = w.check.names(), w.c.Choices()
	w.trace.Sum(r.Trace[:0])
	return *r
}
