package main

import (
	"bytes"
	"testing"

	"github.com/tagma-db/tagma/kv"
)

// TestPrint pins the forms that etcdctl has.
func TestPrint(t *testing.T) {
	pair := kv.KV{Key: []byte("k"), Value: []byte("v"), Create: 2, Mod: 3, Version: 2}
	get := kv.RangeReply{KVs: []kv.KV{pair}, Count: 1}
	txn := kv.TxnReply{Succeeded: true, Replies: []kv.Reply{kv.PutReply{Prev: &pair}, get, kv.DeleteReply{Deleted: 1}}}
	const json = `{"key":"aw==","create_revision":2,"mod_revision":3,"version":2,"value":"dg=="}`
	const header = `"header":{"cluster_id":7,"revision":9}`
	for _, c := range []struct {
		format string
		reply  kv.Reply
		want   string
	}{
		{"simple", kv.PutReply{}, "OK\n"},
		{"simple", kv.PutReply{Prev: &pair}, "OK\nk\nv\n"},
		{"simple", get, "k\nv\n"},
		{"simple", kv.RangeReply{}, ""},
		{"simple", kv.DeleteReply{Deleted: 1, Prev: []kv.KV{pair}}, "1\nk\nv\n"},
		{"simple", txn, "SUCCESS\n\nOK\nk\nv\n\nk\nv\n\n1\n"},
		{"simple", kv.TxnReply{}, "FAILURE\n"},
		{"json", kv.PutReply{}, "{" + header + "}\n"},
		{"json", get, "{" + header + `,"kvs":[` + json + `],"count":1}` + "\n"},
		{"json", kv.DeleteReply{Deleted: 1}, "{" + header + `,"deleted":1}` + "\n"},
		{"json", txn, "{" + header + `,"succeeded":true,"responses":[{"Response":{"response_put":{` + header + `,"prev_kv":` + json + `}}},` +
			`{"Response":{"response_range":{` + header + `,"kvs":[` + json + `],"count":1}}},` +
			`{"Response":{"response_delete_range":{` + header + `,"deleted":1}}}]}` + "\n"},
		{"fields", get, "\"ClusterID\" : 7\n\"Revision\" : 9\n\"Key\" : \"k\"\n\"CreateRevision\" : 2\n\"ModRevision\" : 3\n\"Version\" : 2\n\"Value\" : \"v\"\n\"Lease\" : 0\n\"More\" : false\n\"Count\" : 1\n"},
		{"table", kv.DeleteReply{Deleted: 1}, "1 deleted\n"},
		{"table", get, "KEY  VALUE  CREATED  MODIFIED  VERSION\n\"k\"  \"v\"    2        3         2\n1 keys, more: false\n"},
	} {
		var out bytes.Buffer
		p := &printer{out: &out, format: c.format, cluster: 7}
		if err := p.answer(c.reply, 9); err != nil || out.String() != c.want {
			t.Errorf("%s %+v:\ngot  %q\nwant %q", c.format, c.reply, out.String(), c.want)
		}
	}
}
