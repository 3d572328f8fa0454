package client

import (
	"context"

	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/pbft"
)

// Execute has one operation of the store executed; one that is kv.ReadOnly is
// read at q replicas and ordered only if they do not agree, with the same
// guarantee. An operation that the store refuses is an *Error around its kv.Code, and so is one that breaks the
// limits, which is not sent.
func (c *Client) Execute(ctx context.Context, op kv.Op) (kv.Result, error) {
	raw := op.Encode()
	if _, err := kv.DecodeOp(raw); err != nil {
		return kv.Result{}, refusedBy(err.(kv.Code))
	}
	if kv.ReadOnly(op) {
		return c.read(ctx, raw, true)
	}
	answer, err := c.Do(ctx, raw)
	if err != nil {
		return kv.Result{}, err
	}
	return decodeAnswer(answer)
}

// read reads. With exact the result's revision is the one that was read; else
// it is one that the store has had, and a read beside writes is not ordered for
// it.
func (c *Client) read(ctx context.Context, raw []byte, exact bool) (kv.Result, error) {
	out := c.do(ctx, &call{op: raw, read: true, exact: exact})
	if out.err != nil {
		return kv.Result{}, out.err
	}
	result, err := decodeAnswer(out.result)
	if out.read {
		result.Revision = int64(out.version)
	}
	return result, err
}

// decodeAnswer reads what the replicas answered. An answer without a byte stands for
// one that did not fit into the reply, and for an operation that was left out
// because those before it in its batch had read too many rows.
func decodeAnswer(answer []byte) (kv.Result, error) {
	result, err := kv.DecodeResult(answer)
	switch {
	case err != nil && len(answer) == 0:
		return kv.Result{}, &Error{Outcome: pbft.OutcomeUnknown, Next: "read to see whether it took effect, and ask for less at a time",
			Cause: "no result came with the answer: it did not fit beside others, or too many rows were read before the operation's turn"}
	case err != nil:
		return kv.Result{}, &Error{Outcome: pbft.OutcomeUnknown, Cause: "done, but the answer is none of this store", Next: "use the release that the cluster runs"}
	case result.Code != kv.CodeOK:
		return result, refusedBy(result.Code)
	}
	return result, nil
}

// execute is Execute for an operation whose reply has a known type.
func execute[R kv.Reply](ctx context.Context, c *Client, op kv.Op) (reply R, revision int64, err error) {
	return replyOf[R](c.Execute(ctx, op))
}

// replyOf takes out of a result a reply of a known type.
func replyOf[R kv.Reply](result kv.Result, err error) (reply R, revision int64, _ error) {
	if err != nil {
		return reply, result.Revision, err
	}
	reply, ok := result.Reply.(R)
	if !ok {
		return reply, result.Revision, &Error{Outcome: pbft.OutcomeUnknown, Cause: "done, but the answer is of another kind than the question", Next: "use the release that the cluster runs"}
	}
	return reply, result.Revision, nil
}

// Put sets a key. It returns the store's revision after it.
func (c *Client) Put(ctx context.Context, op kv.Put) (kv.PutReply, int64, error) {
	return execute[kv.PutReply](ctx, c, op)
}

// Get reads one key; ok is false if it does not exist.
func (c *Client) Get(ctx context.Context, key []byte) (pair kv.KV, ok bool, err error) {
	op := kv.Range{Interval: kv.Interval{Key: key}}.Encode()
	if _, err := kv.DecodeOp(op); err != nil {
		return pair, false, refusedBy(err.(kv.Code))
	}
	reply, _, err := replyOf[kv.RangeReply](c.read(ctx, op, false))
	if err != nil || len(reply.KVs) == 0 {
		return pair, false, err
	}
	return reply.KVs[0], true, nil
}

// Range reads keys. It returns the store's revision, which is not the one read
// at if the operation names another.
func (c *Client) Range(ctx context.Context, op kv.Range) (kv.RangeReply, int64, error) {
	return execute[kv.RangeReply](ctx, c, op)
}

// Delete removes keys.
func (c *Client) Delete(ctx context.Context, op kv.DeleteRange) (kv.DeleteReply, int64, error) {
	return execute[kv.DeleteReply](ctx, c, op)
}

// Txn runs a transaction.
func (c *Client) Txn(ctx context.Context, op kv.Txn) (kv.TxnReply, int64, error) {
	return execute[kv.TxnReply](ctx, c, op)
}

// Compact forgets history below a revision.
func (c *Client) Compact(ctx context.Context, revision int64) error {
	_, _, err := execute[kv.CompactReply](ctx, c, kv.Compact{Revision: revision})
	return err
}
