package node

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/host"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// syncer waits for the disk so that the loop does not.
func (n *Node) syncer() {
	for range n.syncAsk {
		began := time.Now()
		durable, err := n.log.Sync()
		n.syncEnd <- syncResult{durable, err, time.Since(began)}
	}
}

// run does what no frame brings about: ticks, the ends of syncs and flushes,
// calls, and the end of the node.
func (n *Node) run() {
	defer close(n.done)
	for {
		var do func() error
		select {
		case <-n.poke:
			do = func() error { return n.round(nil) }
		case <-n.timer.C:
			do = func() error { n.armed = false; return n.round(nil) }
		case r := <-n.syncEnd:
			do = func() error { n.syncing = false; return n.round(&r) }
		case r := <-n.flushed:
			do = func() error { n.flushing = false; return n.cut(r) }
		case call := <-n.calls:
			do = func() error { call(); return nil }
		case <-n.stop:
			n.turn.Lock()
			n.over = true
			n.turn.Unlock()
			n.err = n.cleanStop()
			return
		}
		n.turn.Lock()
		n.take(do)
		broken := n.broken
		n.turn.Unlock()
		if broken != nil {
			n.fail(broken)
			return
		}
		if n.inbox.Waiting() {
			n.wake()
		}
	}
}

// arrived is called on the goroutine of a link that brought a frame. If nobody
// has the turn it does the round itself, which spares two changes of goroutine;
// after a few rounds the loop goes on, so that the link is read again.
func (n *Node) arrived() {
	for range 4 {
		if !n.inbox.Waiting() || !n.turn.TryLock() {
			return // whoever has the turn looks again afterwards
		}
		n.take(func() error { return n.round(nil) })
		n.turn.Unlock()
	}
	n.wake()
}

// take does one thing with host, log and rows; the caller has the turn.
func (n *Node) take(do func() error) {
	if n.over {
		return
	}
	n.broken = do()
	n.sends.Flush()
	if n.broken != nil {
		n.over = true
		n.wake()
		return
	}
	wakes := n.host.Wakes()
	if wakes && !n.armed {
		n.timer.Reset(tick)
		n.armed = true
	}
	if n.busy && !wakes {
		go debug.FreeOSMemory() // idle from here on: what the load took is given back
	}
	n.busy = wakes
}

// round lets the host handle all that is there.
func (n *Node) round(ended *syncResult) error {
	n.host.Begin(n.now(), time.Now().UnixMilli())
	if ended != nil {
		if err := n.synced(*ended); err != nil {
			return err
		}
	}
	for ; n.worker.ran.Load() > 0; n.worker.ran.Add(-1) {
		n.host.Ran()
	}
	for id := range n.up {
		if n.up[id].Swap(false) {
			n.host.LinkUp(id)
		}
	}
	clear(n.received)
	n.received = n.inbox.Drain(n.received[:0], perRound)
	for _, r := range n.received {
		n.deliver(r.From.Key(), r.Frame)
	}
	n.host.End()
	if err := n.startSync(); err != nil {
		return err
	}
	n.startFlush()
	if err := n.host.Err(); err != nil {
		return fmt.Errorf("the rows failed, this process must not vote any more: %w", err)
	}
	return n.halted()
}

func (n *Node) now() pbft.Ticks { return pbft.Ticks(time.Since(n.began) / tick) }

func (n *Node) deliver(key [32]byte, raw []byte) {
	f, err := wire.Decode(raw)
	if err != nil {
		n.monitor.junk()
		return
	}
	if n.o.Behave != nil && int(f.Author) == n.folder.id {
		return // a replica that lies on purpose does not stop for its own lies
	}
	from := host.Source{Replica: pbft.FromClient, Client: auth.PublicKey(key)}
	if id, ok := n.index[key]; ok {
		from = host.Source{Replica: id}
	}
	n.host.Receive(from, f)
}

// synced tells the host how a sync ended.
func (n *Node) synced(r syncResult) error {
	if r.err != nil {
		return fmt.Errorf("the disk failed, this process must not vote any more: %w", r.err)
	}
	n.lastSync = r.took
	n.host.Synced(r.durable)
	if r.took > stallTime {
		n.o.Log.Warn("the disk stalls", "sync", r.took)
		n.host.DiskStall()
	}
	n.monitor.synced(r.took)
	return nil
}

// startSync starts a sync if something waits and none is under way. While the
// disk is quick and nothing else is to be done the loop waits for it itself:
// that saves two changes of goroutine on the way of a lone write.
func (n *Node) startSync() error {
	n.wantSync = n.host.NeedsSync() || n.wantSync
	for n.wantSync && !n.syncing {
		if n.lastSync > quickSync || len(n.received) > 1 {
			n.wantSync, n.syncing = false, true
			n.syncAsk <- struct{}{}
			return nil
		}
		n.sends.Flush() // what needs no sync does not wait for it
		began := time.Now()
		durable, err := n.log.Sync()
		if err := n.synced(syncResult{durable, err, time.Since(began)}); err != nil {
			return err
		}
		n.wantSync = n.host.NeedsSync()
	}
	return nil
}

// startFlush flushes the rows once the log is large, so that it can be cut: by
// half at least, which takes a checkpoint that is newer than the last cut.
func (n *Node) startFlush() {
	n.mustFlush = n.host.NeedsFlush() || n.mustFlush
	large := n.log.Size() >= n.cutAt && n.host.Stable() != n.cutStable && time.Since(n.flushAt) >= flushEvery
	if n.flushing || !large && !n.mustFlush {
		return
	}
	n.mustFlush = false
	n.flushing, n.flushAt = true, time.Now()
	go func() {
		applied, err := n.rows.Flush()
		n.flushed <- flushResult{applied, err}
	}()
}

// cut replaces the log by what of it is still needed.
func (n *Node) cut(r flushResult) error {
	if r.err != nil {
		return fmt.Errorf("the rows failed, this process must not vote any more: %w", r.err)
	}
	n.host.Flushed(r.applied)
	if n.log.Size() < n.cutAt {
		return n.round(nil) // it was for a state that was installed
	}
	carry := n.host.Carry(r.applied)
	if carry == nil {
		return nil // so much was executed meanwhile that the log still needs it: again
	}
	before := n.log.Size()
	if err := n.log.Cut(append([][]byte{genesisRecord(n.folder.genesis)}, carry...)); err != nil {
		return fmt.Errorf("the disk failed, this process must not vote any more: %w", err)
	}
	n.host.Carried(len(carry), n.log.Durable())
	n.cutAt, n.cutStable = max(cutSize, 2*n.log.Size()), n.host.Stable()
	n.o.Log.Info("log cut", "before", before, "after", n.log.Size(), "rows", r.applied)
	return nil
}

// halted turns a halt of the core into the error that ends the process.
func (n *Node) halted() error {
	switch why := n.host.Halted(); why {
	case pbft.ReasonNone:
		return nil
	case pbft.ReasonAmnesia:
		return fmt.Errorf("others hold votes of this replica that its log does not know: %w", ErrAmnesia)
	case pbft.ReasonDiverged:
		return errors.New("this replica's state differs from what f+1 others signed; it stops before it can do harm: replace it with a new member")
	default:
		return fmt.Errorf("the replica stopped: %s; compare the replicas with: tagma status", why)
	}
}

// fail ends the node without another vote or sync.
func (n *Node) fail(err error) {
	n.o.Log.Error("stopped", "error", err)
	n.drainDisk()
	n.close()
	n.err = err
}

// drainDisk waits for what is under way on the disk.
func (n *Node) drainDisk() {
	close(n.syncAsk)
	if n.syncing {
		<-n.syncEnd
	}
	if n.flushing {
		<-n.flushed
	}
}

// cleanStop abdicates, syncs everything, lets the last frames leave and
// closes the log so that the next start has nothing to abstain from.
func (n *Node) cleanStop() error {
	n.host.Begin(n.now(), time.Now().UnixMilli())
	n.host.Stop()
	n.host.End()
	n.drainDisk()
	durable, err := n.log.Sync()
	if err != nil {
		return errors.Join(err, n.close())
	}
	n.host.Synced(durable)
	n.sends.Flush()
	<-time.After(graceTime)
	if _, err := n.rows.Flush(); err != nil {
		return errors.Join(err, n.close())
	}
	err = n.log.Close(true)
	n.log = nil
	return errors.Join(err, n.close())
}
