package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tagma-db/tagma/host"
	"github.com/tagma-db/tagma/pbft"
)

// standing asks a node's host where it stands.
func (n *Node) standing() (r pbft.Report, s host.TransferStats) {
	done := make(chan struct{})
	n.calls <- func() {
		r, s = *n.host.Report(), n.host.Transfers()
		close(done)
	}
	<-done
	return r, s
}

// until polls a node until ok, for a minute at most.
func (c *cluster) until(id int, what string, ok func(pbft.Report, host.TransferStats) bool) {
	c.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		if ok(c.nodes[id].standing()) {
			return
		}
	}
	r, s := c.nodes[id].standing()
	c.t.Fatalf("node %d: not %s in a minute: stable %d executed %d %s, %+v", id, what, r.Stable, r.Executed, r.State, s)
}

// TestStateTransfer leaves a node behind by more than the others keep of the
// order: it fetches what differs, votes again, and serves the state itself.
func TestStateTransfer(t *testing.T) {
	c := newCluster(t, 4)
	c.start(0, 1, 2, 3)
	s := c.open()
	big := strings.Repeat("x", 200<<10)
	for i := range 20 {
		s.put(fmt.Sprint("before", i), big)
	}
	c.stop(3)
	for i := range 120 {
		s.put(fmt.Sprint("k", i%80), fmt.Sprint(i)+big)
	}
	stable := func(r pbft.Report, _ host.TransferStats) bool { return r.Stable == r.Executed }
	for id := range 3 {
		c.until(id, "quiet", stable)
	}
	c.start(3)
	c.until(3, "installed", func(_ pbft.Report, s host.TransferStats) bool { return s.Installed == 1 })
	if _, s := c.nodes[3].standing(); s.Bytes < 80*200<<10 || s.Bytes > 122*200<<10 { // the history of keys is state too
		t.Errorf("fetched %d bytes", s.Bytes)
	}
	c.stop(1) // from here on its vote is needed, and for a state of 1 its answer too
	s.put("after", "transfer")
	if v := s.get("k79"); v != "79"+big || s.get("after") != "transfer" {
		t.Fatal("wrong values")
	}
	at, _ := c.nodes[0].standing()
	c.until(3, "up to date", func(r pbft.Report, _ host.TransferStats) bool { return r.Executed >= at.Executed })
	c.stop(0, 2, 3)
	c.start(1, 2, 3) // what was installed is durable
	if s.get("k79") != "79"+big || s.get("before7") != big {
		t.Fatal("wrong values after a restart")
	}
}
