package main

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// itemText is an item of evidence in words and numbers. Every text in it is made
// here, none by a replica.
type itemText struct {
	File    string      `json:"file,omitempty"`
	ID      string      `json:"id"`
	Accused int         `json:"accused"`
	Kind    string      `json:"kind"`
	Class   string      `json:"class"` // signed or witnessed
	Proven  bool        `json:"proven"`
	Problem string      `json:"problem,omitempty"` // why it is not
	Message string      `json:"message"`           // kind of the accused's message
	View    uint64      `json:"view"`
	Seq     uint64      `json:"seq"`
	Seen    []int       `json:"seen,omitempty"` // replicas that hold it
	Frames  []frameText `json:"frames,omitempty"`
	Why     []string    `json:"why,omitempty"`
}

// frameText is one message of an item.
type frameText struct {
	Message string `json:"message"`
	Author  int    `json:"author"` // -1: none, its digest is its name
	View    uint64 `json:"view"`
	Seq     uint64 `json:"seq"`
	Says    string `json:"says"`
	Digest  string `json:"digest"`
	Bytes   int    `json:"bytes"`
}

func (f *frameText) line() string {
	who := ""
	if f.Author >= 0 {
		who = fmt.Sprintf(" by replica %d", f.Author)
	}
	where := ""
	if view, slot := place(f.Message, f.View, f.Seq); view != "-" {
		where = ", view " + view
		if slot != "-" {
			where += ", slot " + slot
		}
	} else if slot != "-" {
		where = ", slot " + slot
	}
	return fmt.Sprintf("%s%s%s: %s (%d bytes, digest %.16s)", f.Message, who, where, f.Says, f.Bytes, f.Digest)
}

// place is the view and the slot that a message speaks of; "-" where its kind
// names none.
func place(message string, view, seq uint64) (string, string) {
	v, s := strconv.FormatUint(view, 10), strconv.FormatUint(seq, 10)
	switch message {
	case "pre-prepare", "prepare", "commit":
		return v, s
	case "view-change", "new-view":
		return v, "-"
	case "checkpoint":
		return "-", s
	}
	return "-", "-"
}

func summary(x *client.Exhibit) itemText {
	view, seq := x.Item.Place()
	t := itemText{ID: hex.EncodeToString(x.ID[:]), Accused: x.Culprit, Kind: x.Charge.String(), Class: "witnessed", Proven: x.Proven(),
		Message: pbft.Kind(x.Item.Frames[0].Kind).String(), View: uint64(view), Seq: uint64(seq), Seen: x.Seen}
	if x.Charge.Signed() {
		t.Class = "signed"
	}
	return t
}

// reasons is why an item convicts.
func reasons(cfg *pbft.Config, e *pbft.Evidence) []string {
	f := e.Frames[0]
	kind, q := pbft.Kind(f.Kind), cfg.Size().Quorum()
	onlyKey := fmt.Sprintf("Only who holds the key of replica %d can have signed this.", e.Culprit)
	switch e.Charge {
	case pbft.ChargeEquivocation:
		once := "for a view and slot"
		switch kind {
		case pbft.KindCheckpoint:
			once = "for a slot"
		case pbft.KindViewChange, pbft.KindNewView:
			once = "for a view"
		}
		return []string{fmt.Sprintf("Replica %d signed two different %ss %s.", e.Culprit, kind, once),
			"A correct replica signs one, and after a restart sends that one again unchanged.", onlyKey}
	case pbft.ChargeDiverged:
		return []string{fmt.Sprintf("Replica %d signed a state that %d others, a quorum, contradict for the same slot.", e.Culprit, q),
			"Of a quorum more are correct than faulty, and correct replicas have one state after a slot.", onlyKey}
	case pbft.ChargeInvalid:
		return []string{fmt.Sprintf("Replica %d signed a %s whose body, or a certificate in it, is invalid.", e.Culprit, kind),
			"A correct replica checks every signature before it quotes it, and sends no message out of its role.", onlyKey}
	case pbft.ChargeNewView:
		return []string{fmt.Sprintf("Replica %d signed a new-view that does not follow from the view-changes that it names.", e.Culprit),
			fmt.Sprintf("A correct primary names its own and %d others of that view, and proposes what they determine.", q-1), onlyKey}
	case pbft.ChargeBatch:
		return []string{fmt.Sprintf("Replica %d proposed a batch that no correct replica prepares:", e.Culprit),
			"a message in it is invalid, or its requests are larger than a batch may be.", onlyKey}
	}
	return []string{fmt.Sprintf("The replicas that hold this got it over the link of replica %d, and no correct replica sends it.", e.Culprit),
		"Nothing in it shows that to others: believe it once f+1 replicas hold such items, of which one is correct."}
}

// maxFrameTexts is how many messages of an item are described.
const maxFrameTexts = 16

func frames(cfg *pbft.Config, e *pbft.Evidence) (out []frameText) {
	for _, f := range e.Frames[:min(len(e.Frames), maxFrameTexts)] {
		one := pbft.Evidence{Frames: []*wire.Frame{f}}
		view, seq := one.Place()
		d := f.Digest()
		t := frameText{Message: pbft.Kind(f.Kind).String(), Author: int(f.Author), View: uint64(view), Seq: uint64(seq),
			Says: says(cfg, f), Digest: hex.EncodeToString(d[:]), Bytes: len(f.Raw())}
		if f.Author == wire.NoAuthor {
			t.Author = -1
		}
		out = append(out, t)
	}
	return out
}

// says is what a message says, as far as it decodes.
func says(cfg *pbft.Config, f *wire.Frame) string {
	m, err := pbft.Decode(cfg, f)
	if err != nil {
		return "does not decode: " + err.Error()
	}
	if v, ok := m.Vote(); ok {
		if v.Digest.IsZero() {
			return "the null batch"
		}
		return "batch " + hex.EncodeToString(v.Digest[:8])
	}
	if k, ok := m.Checkpoint(); ok {
		return fmt.Sprintf("root %s, time %d", hex.EncodeToString(k.Root[:8]), k.Time)
	}
	if b, ok := m.Batch(); ok {
		return fmt.Sprintf("%d requests, time %d", len(b.Requests), b.Time)
	}
	if q, ok := m.Request(); ok {
		return fmt.Sprintf("number %d of client %.16s", q.Number, q.Client.String())
	}
	return "decodes"
}

// numbers are replicas in words.
func numbers(ids []int) string {
	if len(ids) == 0 {
		return "none"
	}
	text := make([]string, len(ids))
	for i, id := range ids {
		text[i] = strconv.Itoa(id)
	}
	return strings.Join(text, ",")
}
