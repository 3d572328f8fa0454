package sim

// nextFault makes the next fault happen after a while.
func (w *World) nextFault() {
	w.call(micros(w.c.Between(1, 2*w.plan.pace)), func() {
		if w.phase == chaos {
			w.fault(w.plan.kinds[w.c.Choose(len(w.plan.kinds))])
			w.nextFault()
		}
	})
}

// fault makes one fault of a kind happen.
func (w *World) fault(kind int) {
	n := w.nodes[w.c.Choose(len(w.nodes))]
	span := micros(w.c.Scale(50, w.plan.away)) * millisecond
	w.logf("fault %d node %d for %d ms", kind, n.slot, span/millisecond)
	switch kind {
	case faultKill, faultPower:
		w.crash(n, kind == faultPower, span)
	case faultStop:
		if n.up {
			w.result.Crashes++
			n.stop()
			w.bootLater(n, span)
		}
	case faultAll:
		power := w.c.Chance(3, 4)
		for _, n := range w.nodes {
			w.crash(n, power, micros(w.c.Scale(1, 500))*millisecond)
		}
		w.mark("all crashed")
	case faultIsolate:
		w.partition(func(a, b *node) bool { return a.id == n.id || b.id == n.id }, span)
	case faultHalves:
		sides := w.c.Choose(1 << w.plan.n)
		w.partition(func(a, b *node) bool { return sides>>a.id&1 != sides>>b.id&1 }, span)
	case faultOneWay:
		sides := w.c.Choose(1 << w.plan.n)
		w.partition(func(a, b *node) bool { return sides>>a.id&1 < sides>>b.id&1 }, span)
	case faultBreak:
		m := w.nodes[w.c.Choose(len(w.nodes))]
		if m.id != n.id {
			w.sever(n, m)
			w.call(span/8, func() { w.mend(n, m) })
		}
	case faultPause:
		n.paused = w.now + span
	case faultCut:
		if n.up && n.host != nil {
			n.cut(w.c.Chance(1, 8))
			if !n.up {
				w.result.Crashes++
				w.bootLater(n, span)
			}
		}
	case faultClient:
		w.clients[w.c.Choose(len(w.clients))].start()
		w.mark("client restarted")
	case faultReplay:
		w.replay()
	}
	for i := range w.net.sides {
		if w.c.Chance(1, 4) {
			w.net.sides[i] = w.c.Choose(3)
		}
	}
}

// crash ends a process and starts it again after a while.
func (w *World) crash(n *node, power bool, span micros) {
	if !n.up {
		return
	}
	w.result.Crashes++
	n.kill(power)
	w.bootLater(n, span)
}

func (w *World) bootLater(n *node, span micros) {
	w.call(span, func() { w.restart(n) })
}

// restart starts a process that is down and makes its links anew.
func (w *World) restart(n *node) {
	if !n.up && !n.halted && w.phase < over {
		n.paused = 0
		n.start(false)
		w.connect(n)
	}
}
