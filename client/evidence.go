package client

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// Exhibit is an item of evidence that replicas say they hold.
type Exhibit struct {
	pbft.EvidenceRef
	Seen []int // replicas that say so, ascending
	// Item is what one of them showed; nil if none did. An item of a signed
	// charge has been verified here.
	Item *pbft.Evidence
}

// showTime is what a replica has to show what it was asked for; one that takes
// longer is not asked again.
const showTime = time.Second

// Proven reports whether the item convinces whoever knows the members' keys.
func (x *Exhibit) Proven() bool { return x.Item != nil && x.Charge.Signed() }

// Evidence gathers what the reports name, by accused, charge and id, and asks
// for each item until a replica shows it or ctx ends. No replica can make up a
// proven item, keep one back that another shows, or send more than it may hold.
func (c *Client) Evidence(ctx context.Context, probes []Probe) []Exhibit {
	all := gather(probes)
	opener := pbft.NewOpener(c.cfg, auth.Ed25519{})
	room := make([]int, len(c.links)) // bytes that a replica may still show; 0: it is not asked again
	for id := range room {
		room[id] = pbft.MaxBook
	}
	for {
		wanted := make([][]wire.Digest, len(room))
		asks := false
		for i := range all {
			x := &all[i]
			at := slices.IndexFunc(x.Seen, func(id int) bool { return room[id] > 0 })
			if x.Item == nil && at >= 0 && len(wanted[x.Seen[at]]) < pbft.MaxWanted {
				wanted[x.Seen[at]] = append(wanted[x.Seen[at]], x.ID)
				asks = true
			}
		}
		if !asks || ctx.Err() != nil {
			return all
		}
		asking, cancel := context.WithTimeout(ctx, showTime)
		shown := c.probe(asking, wanted)
		cancel()
		for id, p := range shown {
			if len(wanted[id]) > 0 {
				room[id] -= exhibit(all, opener, p.Report, room[id])
			}
		}
	}
}

// gather lists the items that reports name.
func gather(probes []Probe) []Exhibit {
	at := map[pbft.EvidenceRef]int{}
	var all []Exhibit
	for _, p := range probes {
		if p.Report == nil {
			continue
		}
		for _, ref := range p.Report.Held {
			i, ok := at[ref]
			if !ok {
				i = len(all)
				at[ref] = i
				all = append(all, Exhibit{EvidenceRef: ref})
			}
			if !slices.Contains(all[i].Seen, p.ID) {
				all[i].Seen = append(all[i].Seen, p.ID)
			}
		}
	}
	slices.SortFunc(all, func(a, b Exhibit) int {
		if a.Culprit != b.Culprit {
			return a.Culprit - b.Culprit
		}
		if a.Charge != b.Charge {
			return int(a.Charge) - int(b.Charge)
		}
		return bytes.Compare(a.ID[:], b.ID[:])
	})
	return all
}

// exhibit files the items that a report shows and returns their bytes; all of
// room if it shows nothing that is new and holds.
func exhibit(all []Exhibit, opener *pbft.Opener, r *pbft.Report, room int) (used int) {
	if r == nil {
		return room
	}
	news := false
	for _, e := range r.Shown {
		if used += len(e.Encode()); used > room {
			return room
		}
		ref := e.Ref()
		i := slices.IndexFunc(all, func(x Exhibit) bool { return x.EvidenceRef == ref })
		if i < 0 || all[i].Item != nil || e.Charge.Signed() && opener.Verify(e) != nil {
			continue
		}
		all[i].Item, news = e, true
	}
	if !news {
		return room
	}
	return used
}
