package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// group is a group of four and what all its replicas answer when all is well.
type group struct {
	cfg     *pbft.Config
	signers []auth.Signer
	answers [][]client.Answer
	probes  []client.Probe
	items   []client.Exhibit
	lied    []bool
}

func newGroup() *group {
	g := &group{cfg: &pbft.Config{Params: pbft.Defaults()}, answers: make([][]client.Answer, 2), lied: make([]bool, 4)}
	for id := range 4 {
		s := auth.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(id + 1)}, 32)))
		g.signers = append(g.signers, s)
		g.cfg.Members = append(g.cfg.Members, s.Public())
		g.probes = append(g.probes, client.Probe{ID: id, Connected: true, Report: &pbft.Report{View: 1, Active: true, Stable: 4, Executed: 7}})
		for i := range g.answers {
			g.answers[i] = append(g.answers[i], client.Answer{Reply: &pbft.Reply{Status: pbft.Done, Seq: pbft.Seq(6 + i)}})
		}
	}
	return g
}

// prepare is a signed vote of replica id.
func (g *group) prepare(id int, digest byte) *wire.Frame {
	var w wire.Writer
	w.U64(1)
	w.U64(5)
	w.Raw(append([]byte{digest}, make([]byte, 31)...))
	h := wire.Header{Kind: uint8(pbft.KindPrepare), Cluster: g.cfg.Cluster, Group: g.cfg.Group, Epoch: g.cfg.Epoch, Author: uint16(id)}
	return wire.EncodeSigned(h, w.B, g.signers[id].Sign)
}

// accuse makes an item that a replica shows: proven, if signed.
func (g *group) accuse(by int, e *pbft.Evidence) {
	g.items = append(g.items, client.Exhibit{EvidenceRef: e.Ref(), Seen: []int{by}, Item: e})
}

// charge is evidence of two frames in the order that its form demands.
func charge(culprit int, a, b *wire.Frame) *pbft.Evidence {
	x, y := a.Digest(), b.Digest()
	if bytes.Compare(x[:], y[:]) > 0 {
		a, b = b, a
	}
	return &pbft.Evidence{Charge: pbft.ChargeEquivocation, Culprit: culprit, Frames: []*wire.Frame{a, b}}
}

func (g *group) judge() groupStatus { return judge(g.cfg, g.answers, g.probes, g.items, g.lied) }

func (g *group) lose(id int) {
	for i := range g.answers {
		g.answers[i][id] = client.Answer{}
	}
	g.probes[id].Report = nil
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*group)
		verdict [4]string
		reason  string // of the first that is not ok
		canLose int
	}{
		{"all is well", func(*group) {}, [4]string{"ok", "ok", "ok", "ok"}, "", 1},
		{"no connection", func(g *group) {
			g.lose(0)
			g.probes[0].Connected, g.probes[0].Failure = false, "refused"
		}, [4]string{"down", "ok", "ok", "ok"}, "refused", 0},
		{"mute", func(g *group) { g.lose(2) }, [4]string{"ok", "ok", "silent", "ok"}, "answers nothing", 0},
		{"another result", func(g *group) { g.answers[1][3].Reply.Digest[0] = 1 }, [4]string{"ok", "ok", "ok", "lying"}, "differ from those of f+1", 0},
		{"another slot", func(g *group) { g.answers[0][0].Reply.Seq = 9 }, [4]string{"lying", "ok", "ok", "ok"}, "differ", 0},
		{"signed evidence from one", func(g *group) { g.accuse(1, charge(2, g.prepare(2, 1), g.prepare(2, 2))) },
			[4]string{"ok", "ok", "lying", "ok"}, "equivocation, proven by what it signed (1 item)", 0},
		{"an item that nobody shows is none", func(g *group) {
			g.accuse(1, charge(2, g.prepare(2, 1), g.prepare(2, 2)))
			g.items[0].Item = nil
		}, [4]string{"ok", "ok", "ok", "ok"}, "", 1},
		{"a word from one is none", func(g *group) { g.accuse(1, pbft.Junk(2, g.prepare(2, 1))) }, [4]string{"ok", "ok", "ok", "ok"}, "", 1},
		{"a word from f+1", func(g *group) {
			g.accuse(1, pbft.Junk(2, g.prepare(2, 1)))
			g.accuse(3, pbft.Junk(2, g.prepare(2, 2)))
		}, [4]string{"ok", "ok", "lying", "ok"}, "junk on its links, say replicas [1 3] (2 items)", 0},
		{"a word on itself is none", func(g *group) {
			g.accuse(2, pbft.Junk(2, g.prepare(2, 1)))
			g.accuse(3, pbft.Junk(2, g.prepare(2, 1)))
		}, [4]string{"ok", "ok", "ok", "ok"}, "", 1},
		{"repairing", func(g *group) {
			g.probes[1].Report.State = "repairing: needs state transfer"
			g.answers[0][1], g.answers[1][1] = client.Answer{}, client.Answer{}
		}, [4]string{"ok", "repairing", "ok", "ok"}, "needs state transfer", 0},
		{"late", func(g *group) { g.answers[0][1].After = time.Second }, [4]string{"ok", "slow", "ok", "ok"}, "after f+1 others", 0},
		{"far behind", func(g *group) {
			for _, id := range []int{0, 2, 3} {
				g.probes[id].Report.Executed = 1000
			}
		}, [4]string{"ok", "slow", "ok", "ok"}, "993 slots behind", 0},
		{"one answer of two", func(g *group) { g.answers[1][1] = client.Answer{} }, [4]string{"ok", "slow", "ok", "ok"}, "1 of 2", 0},
		{"no report", func(g *group) { g.probes[1].Report = nil }, [4]string{"ok", "slow", "ok", "ok"}, "no question", 0},
		{"the group stands still", func(g *group) {
			for id := range 4 {
				for i := range g.answers {
					g.answers[i][id] = client.Answer{}
				}
			}
		}, [4]string{"unknown", "unknown", "unknown", "unknown"}, "does not answer", 0},
		{"a liar cannot move the group's numbers", func(g *group) { g.probes[0].Report.View, g.probes[0].Report.Executed = 1<<40, 1<<40 },
			[4]string{"ok", "ok", "ok", "ok"}, "", 1},
	} {
		g := newGroup()
		c.change(g)
		s := g.judge()
		first := ""
		for id, r := range s.Replicas {
			if r.Verdict != c.verdict[id] {
				t.Errorf("%s: replica %d is %s (%s), want %s", c.name, id, r.Verdict, r.Reason, c.verdict[id])
			}
			if first == "" && r.Verdict != verdictOK {
				first = r.Reason
			}
		}
		if !strings.Contains(first, c.reason) || s.Healthy != (first == "") || s.CanLose != c.canLose || s.F != 1 || s.View > 1 {
			t.Errorf("%s: reason %q, %+v", c.name, first, s)
		}
	}
}

// TestStatusIsPrintable: a replica that lies chooses no byte that a terminal
// obeys, neither in text nor in JSON.
func TestStatusIsPrintable(t *testing.T) {
	g := newGroup()
	g.probes[3].Report.State = "\r\x1b[2K3  127.0.0.1:4  backup  ok\x1b[8m\u009b1m"
	g.lose(2)
	g.probes[2].Connected, g.probes[2].Failure = false, "refused: \x1b]0;title\a"
	s := statusReport{Groups: []groupStatus{g.judge()}}
	genesis := &client.Genesis{Nodes: make([]client.GenesisNode, 4)}
	for _, format := range []string{"simple", "json"} {
		var out bytes.Buffer
		a := &app{out: &out, format: format}
		if err := a.printStatus(genesis, s); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) || strings.Contains(out.String(), `\u00`) {
			t.Errorf("%q", out.String())
		}
	}
	if r := s.Groups[0].Replicas[3]; r.Verdict != verdictRepairing || !strings.HasPrefix(r.Reason, "?[2K3 127.0.0.1:4") {
		t.Errorf("%+v", r)
	}
}

func TestJudgeRemembers(t *testing.T) {
	g := newGroup()
	g.answers[1][3].Reply.Digest[0] = 1
	g.judge()
	g.answers[1][3].Reply.Digest[0], g.answers[0][1].Reply.Digest[0] = 0, 1
	if s := g.judge(); s.Replicas[1].Verdict != verdictLying || s.Replicas[3].Verdict != verdictLying {
		t.Errorf("%+v", s.Replicas)
	}
}

// TestStatusJSON pins the fields that scripts rely on.
func TestStatusJSON(t *testing.T) {
	g := newGroup()
	g.answers[1][3].Reply.Digest[0] = 1
	text, err := json.Marshal(statusReport{Format: 1, Cluster: "c", Groups: []groupStatus{g.judge()}})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`{"format":1,"cluster":"c","epoch":0,"groups":[{"group":0,"n":4,"f":1,"view":1,"primary":1,"stable":4,"executed":7,"healthy":false,"can_lose":0,"replicas":[`,
		`{"id":0,"role":"backup","verdict":"ok","reason":"","lag":0,"evidence":[]}`,
		`{"id":1,"role":"primary",`,
		`{"id":3,"role":"backup","verdict":"lying","reason":"its replies differ from those of f+1 others","lag":0,"evidence":["its replies differ from those of f+1 others"]}`,
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s is not in\n%s", part, text)
		}
	}
}
