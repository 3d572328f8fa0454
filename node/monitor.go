package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/transport"
	"github.com/tagma-db/tagma/wire"
)

// monitor is what an operator sees: metrics and health on a loopback address.
// Label values are names of this package's and pbft's enums only.
type monitor struct {
	n        *Node
	registry *prometheus.Registry
	events   *prometheus.CounterVec
	frames   *prometheus.CounterVec
	counters map[[2]uint8]prometheus.Counter // of events, by kind and reason; the loop's alone
	kinds    [256]prometheus.Counter         // of frames, by kind; the loop's alone
	links    *prometheus.CounterVec
	junked   prometheus.Counter
	sync     prometheus.Histogram
	server   *http.Server
}

func newMonitor(n *Node) *monitor {
	m := &monitor{n: n, registry: prometheus.NewRegistry(), counters: map[[2]uint8]prometheus.Counter{},
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tagma_events_total",
			Help: "Events of the protocol core, by kind and reason."}, []string{"kind", "reason"}),
		frames: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tagma_frames_sent_total",
			Help: "Frames sent to other replicas, by kind."}, []string{"kind"}),
		links: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tagma_link_events_total",
			Help: "Events of links, by kind."}, []string{"kind"}),
		junked: prometheus.NewCounter(prometheus.CounterOpts{Name: "tagma_malformed_frames_total",
			Help: "Frames that did not decode."}),
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tagma_log_sync_seconds",
			Help: "Time of a log sync.", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)}),
	}
	m.registry.MustRegister(m.events, m.frames, m.links, m.junked, m.sync)
	return m
}

// sent counts a frame to another replica.
func (m *monitor) sent(f *wire.Frame) {
	c := &m.kinds[f.Kind]
	if *c == nil {
		*c = m.frames.WithLabelValues(pbft.Kind(f.Kind).String())
	}
	(*c).Inc()
}

// happened counts an event of the core.
func (m *monitor) happened(e pbft.Event) {
	at := [2]uint8{uint8(e.Kind), uint8(e.Reason)}
	c := m.counters[at]
	if c == nil {
		c = m.events.WithLabelValues(e.Kind.String(), e.Reason.String())
		m.counters[at] = c
	}
	c.Inc()
}

func (m *monitor) junk() { m.junked.Inc() }

func (m *monitor) synced(took time.Duration) { m.sync.Observe(took.Seconds()) }

// event is told everything the core has to say.
func (n *Node) event(e pbft.Event) {
	n.monitor.happened(e)
	level := slog.LevelDebug
	switch e.Kind {
	case pbft.EventLeft, pbft.EventEntered, pbft.EventJoined:
		level = slog.LevelInfo
	case pbft.EventEvidence, pbft.EventBehind, pbft.EventHalted:
		level = slog.LevelWarn
	}
	ctx := context.Background()
	if n.o.Log.Enabled(ctx, level) {
		n.o.Log.Log(ctx, level, e.Kind.String(), "view", uint64(e.View), "seq", uint64(e.Seq), "reason", e.Reason.String(), "replica", e.Peer)
	}
}

func (n *Node) linkEvent(e transport.Event) {
	n.monitor.links.WithLabelValues(e.Kind.String()).Inc()
	n.o.Log.Debug("link", "kind", e.Kind.String(), "address", e.Addr, "reason", e.Reason, "count", e.Count)
}

// state is /debug/state.
type state struct {
	Cluster  string `json:"cluster"`
	Node     int    `json:"node"`
	Epoch    uint64 `json:"epoch"`
	View     uint64 `json:"view"`
	Active   bool   `json:"active"`
	Primary  int    `json:"primary"`
	Stable   uint64 `json:"stable"`
	Executed uint64 `json:"executed"`
	State    string `json:"state"`
	Accused  []int  `json:"accused"`
	LogBytes int64  `json:"log_bytes"`
	Waiting  int    `json:"waiting_for_sync"`
	Fetched  uint64 `json:"fetched_bytes"` // of states, since the start
}

// state asks the loop; false if the node has stopped or does not answer.
func (n *Node) state(ctx context.Context) (s state, ok bool) {
	call := func() {
		r := n.host.Report()
		s = state{Cluster: fmt.Sprintf("%x", n.cfg.Cluster[:]), Node: n.folder.id, Epoch: n.cfg.Epoch, View: uint64(r.View),
			Active: r.Active, Primary: n.cfg.Primary(r.View), Stable: uint64(r.Stable), Executed: uint64(r.Executed),
			State: r.State, LogBytes: n.log.Size(), Waiting: n.host.Waiting(), Fetched: n.host.Transfers().Bytes, Accused: []int{}}
		for _, ref := range r.Held {
			s.Accused = append(s.Accused, ref.Culprit)
		}
		s.Accused = slices.Compact(s.Accused) // they come by accused
	}
	finished := make(chan struct{})
	select {
	case n.calls <- func() { call(); close(finished) }:
		<-finished
		return s, true
	case <-n.done:
	case <-ctx.Done():
	}
	return s, false
}

// serve listens on a loopback address.
func (m *monitor) serve(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("cannot listen for monitoring: %w", err)
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return errors.Join(fmt.Errorf("monitoring listens on loopback only, not on %s: nothing authenticates it", address), listener.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/livez", func(w http.ResponseWriter, r *http.Request) { m.health(w, r, func(state) bool { return true }) })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		m.health(w, r, func(s state) bool { return s.Active && s.State == "" })
	})
	mux.HandleFunc("/debug/state", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		s, ok := m.n.state(ctx)
		if !ok {
			http.Error(w, "the loop does not answer", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(s)
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	go m.server.Serve(listener)
	m.n.o.Log.Info("monitoring", "address", listener.Addr().String())
	return nil
}

func (m *monitor) health(w http.ResponseWriter, r *http.Request, good func(state) bool) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	s, ok := m.n.state(ctx)
	switch {
	case !ok:
		http.Error(w, "the loop does not answer", http.StatusServiceUnavailable)
	case !good(s):
		http.Error(w, fmt.Sprintf("not ready: view %d, active %v, %s", s.View, s.Active, s.State), http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ok")
	}
}

func (m *monitor) close() {
	if m.server != nil {
		m.server.Close()
	}
}
