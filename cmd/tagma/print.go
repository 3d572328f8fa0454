package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/wire"
)

// printer writes answers the way etcdctl does.
type printer struct {
	out       io.Writer
	format    string // simple, json, table or fields
	cluster   uint64 // first bytes of the cluster's identity
	valueOnly bool
	countOnly bool
}

func (a *app) printer(cluster wire.Digest) *printer {
	return &printer{out: a.out, format: a.format, cluster: binary.BigEndian.Uint64(cluster[:])}
}

// The shapes of etcdctl's JSON: byte strings in base64, zero values left out.
type jsonHeader struct {
	ClusterID uint64 `json:"cluster_id,omitempty"`
	Revision  int64  `json:"revision,omitempty"`
}

type jsonKV struct {
	Key     []byte `json:"key,omitempty"`
	Create  int64  `json:"create_revision,omitempty"`
	Mod     int64  `json:"mod_revision,omitempty"`
	Version int64  `json:"version,omitempty"`
	Value   []byte `json:"value,omitempty"`
	Lease   int64  `json:"lease,omitempty"`
}

type jsonPut struct {
	Header *jsonHeader `json:"header,omitempty"`
	Prev   *jsonKV     `json:"prev_kv,omitempty"`
}

type jsonRange struct {
	Header *jsonHeader `json:"header,omitempty"`
	KVs    []jsonKV    `json:"kvs,omitempty"`
	More   bool        `json:"more,omitempty"`
	Count  int64       `json:"count,omitempty"`
}

type jsonDelete struct {
	Header  *jsonHeader `json:"header,omitempty"`
	Deleted int64       `json:"deleted,omitempty"`
	Prev    []jsonKV    `json:"prev_kvs,omitempty"`
}

type jsonResponse struct {
	Response any
}

type jsonTxn struct {
	Header    *jsonHeader    `json:"header,omitempty"`
	Succeeded bool           `json:"succeeded,omitempty"`
	Responses []jsonResponse `json:"responses,omitempty"`
}

func jsonPair(p *kv.KV) jsonKV {
	return jsonKV{p.Key, p.Create, p.Mod, p.Version, p.Value, p.Lease}
}

func jsonPairs(pairs []kv.KV) (out []jsonKV) {
	for i := range pairs {
		out = append(out, jsonPair(&pairs[i]))
	}
	return out
}

// answer prints the reply to one operation.
func (p *printer) answer(reply kv.Reply, revision int64) error {
	switch p.format {
	case "json":
		return writeJSON(p.out, p.json(reply, &jsonHeader{p.cluster, revision}))
	case "fields":
		p.fields(reply, revision)
	case "table":
		return p.table(reply)
	default:
		p.simple(reply)
	}
	return nil
}

func (p *printer) json(reply kv.Reply, header *jsonHeader) any {
	switch r := reply.(type) {
	case kv.PutReply:
		out := jsonPut{Header: header}
		if r.Prev != nil {
			prev := jsonPair(r.Prev)
			out.Prev = &prev
		}
		return out
	case kv.RangeReply:
		return jsonRange{header, jsonPairs(r.KVs), r.More, r.Count}
	case kv.DeleteReply:
		return jsonDelete{header, r.Deleted, jsonPairs(r.Prev)}
	case kv.TxnReply:
		out := jsonTxn{Header: header, Succeeded: r.Succeeded}
		for _, inner := range r.Replies {
			name := map[string]any{}
			switch inner.(type) {
			case kv.PutReply:
				name["response_put"] = p.json(inner, header)
			case kv.RangeReply:
				name["response_range"] = p.json(inner, header)
			default:
				name["response_delete_range"] = p.json(inner, header)
			}
			out.Responses = append(out.Responses, jsonResponse{name})
		}
		return out
	}
	return struct {
		Header *jsonHeader `json:"header"`
	}{header}
}

func (p *printer) simple(reply kv.Reply) {
	switch r := reply.(type) {
	case kv.PutReply:
		fmt.Fprintln(p.out, "OK")
		if r.Prev != nil {
			p.pair(r.Prev)
		}
	case kv.RangeReply:
		if p.countOnly {
			fmt.Fprintln(p.out, r.Count)
		}
		p.pairs(r.KVs)
	case kv.DeleteReply:
		fmt.Fprintln(p.out, r.Deleted)
		p.pairs(r.Prev)
	case kv.TxnReply:
		if r.Succeeded {
			fmt.Fprintln(p.out, "SUCCESS")
		} else {
			fmt.Fprintln(p.out, "FAILURE")
		}
		for _, inner := range r.Replies {
			fmt.Fprintln(p.out)
			p.simple(inner)
		}
	default:
		fmt.Fprintln(p.out, "OK")
	}
}

func (p *printer) pairs(pairs []kv.KV) {
	for i := range pairs {
		p.pair(&pairs[i])
	}
}

func (p *printer) pair(pair *kv.KV) {
	if !p.valueOnly {
		fmt.Fprintf(p.out, "%s\n", pair.Key)
	}
	fmt.Fprintf(p.out, "%s\n", pair.Value)
}

func (p *printer) fields(reply kv.Reply, revision int64) {
	fmt.Fprintf(p.out, "\"ClusterID\" : %d\n\"Revision\" : %d\n", p.cluster, revision)
	pairs := func(prefix string, pairs []kv.KV) {
		for i := range pairs {
			kv := &pairs[i]
			fmt.Fprintf(p.out, "\"%sKey\" : %q\n\"%sCreateRevision\" : %d\n\"%sModRevision\" : %d\n", prefix, kv.Key, prefix, kv.Create, prefix, kv.Mod)
			fmt.Fprintf(p.out, "\"%sVersion\" : %d\n\"%sValue\" : %q\n\"%sLease\" : %d\n", prefix, kv.Version, prefix, kv.Value, prefix, kv.Lease)
		}
	}
	switch r := reply.(type) {
	case kv.PutReply:
		if r.Prev != nil {
			pairs("Prev", []kv.KV{*r.Prev})
		}
	case kv.RangeReply:
		pairs("", r.KVs)
		fmt.Fprintf(p.out, "\"More\" : %v\n\"Count\" : %d\n", r.More, r.Count)
	case kv.DeleteReply:
		fmt.Fprintf(p.out, "\"Deleted\" : %d\n", r.Deleted)
		pairs("Prev", r.Prev)
	case kv.TxnReply:
		fmt.Fprintf(p.out, "\"Succeeded\" : %v\n", r.Succeeded)
		for _, inner := range r.Replies {
			p.fields(inner, revision)
		}
	}
}

func (p *printer) table(reply kv.Reply) error {
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	p.rows(w, reply)
	return w.Flush()
}

func (p *printer) rows(w io.Writer, reply kv.Reply) {
	pairs := func(pairs []kv.KV) {
		if len(pairs) == 0 {
			return
		}
		fmt.Fprintln(w, "KEY\tVALUE\tCREATED\tMODIFIED\tVERSION")
		for _, kv := range pairs {
			fmt.Fprintf(w, "%q\t%q\t%d\t%d\t%d\n", kv.Key, kv.Value, kv.Create, kv.Mod, kv.Version)
		}
	}
	switch r := reply.(type) {
	case kv.PutReply:
		fmt.Fprintln(w, "OK")
		if r.Prev != nil {
			pairs([]kv.KV{*r.Prev})
		}
	case kv.RangeReply:
		pairs(r.KVs)
		fmt.Fprintf(w, "%d keys, more: %v\n", r.Count, r.More)
	case kv.DeleteReply:
		fmt.Fprintf(w, "%d deleted\n", r.Deleted)
		pairs(r.Prev)
	case kv.TxnReply:
		fmt.Fprintf(w, "succeeded: %v\n", r.Succeeded)
		for _, inner := range r.Replies {
			p.rows(w, inner)
		}
	default:
		fmt.Fprintln(w, "OK")
	}
}

func printLine(w io.Writer, format string, args ...any) error {
	_, err := fmt.Fprintf(w, format+"\n", args...)
	return err
}
