package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/pbft"
)

// testLoader puts into a map; fail decides what goes wrong.
func testLoader(store map[string]string, fail func(key string) error) *loader {
	l := newLoader(nil, time.Minute)
	l.name, l.progress = "in.jsonl", newProgress(io.Discard, 0)
	var mu sync.Mutex
	l.put = func(_ context.Context, op kv.Put) error {
		mu.Lock()
		defer mu.Unlock()
		if fail != nil {
			if err := fail(string(op.Key)); err != nil {
				return err
			}
		}
		store[string(op.Key)] = string(op.Value)
		return nil
	}
	return l
}

func lines(n int) string {
	var b []byte
	for i := range n {
		b = appendLine(b, fmt.Appendf(nil, "k%d", i+1), []byte("v"))
	}
	return string(b)
}

func TestLoad(t *testing.T) {
	store := map[string]string{}
	l := testLoader(store, nil)
	var out bytes.Buffer
	if err := l.run(t.Context(), strings.NewReader(lines(3000)+"\n  \n"), &out); err != nil {
		t.Fatal(err)
	}
	if len(store) != 3000 || out.String() != "loaded 3000 pairs\n" {
		t.Errorf("%d pairs, said %q", len(store), out.String())
	}
}

func TestLoadKeepsTheOrderOfAKey(t *testing.T) {
	var text []byte
	for i := range 2000 {
		text = appendLine(text, []byte("k"), fmt.Appendf(nil, "%d", i))
	}
	store := map[string]string{}
	if err := testLoader(store, nil).run(t.Context(), bytes.NewReader(text), io.Discard); err != nil || store["k"] != "1999" {
		t.Errorf("%q, %v", store["k"], err)
	}
}

func TestLoadInvalidLine(t *testing.T) {
	text := lines(5) + "{}\n" + `{"key":"later","value":""}` + "\n"
	store := map[string]string{}
	err := testLoader(store, nil).run(t.Context(), strings.NewReader(text), io.Discard)
	code, _, cause, next := explain(err)
	if code != exitFailed || !strings.Contains(cause, "line 6 is invalid") || !strings.Contains(next, "tagma load in.jsonl --from-line 6") {
		t.Errorf("%d: %s; %s", code, cause, next)
	}
	if len(store) != 5 {
		t.Errorf("stored %v", store)
	}
	store = map[string]string{}
	l := testLoader(store, nil)
	l.skip = true
	var out, told bytes.Buffer
	l.progress = newProgress(&told, 0)
	if err := l.run(t.Context(), strings.NewReader(text), &out); err != nil || len(store) != 6 {
		t.Errorf("stored %v, %v", store, err)
	}
	if !strings.Contains(told.String(), "line 6 is invalid and skipped") || out.String() != "loaded 6 pairs, skipped 1 invalid lines\n" {
		t.Errorf("said %q and %q", told.String(), out.String())
	}
}

func TestLoadFromLine(t *testing.T) {
	store := map[string]string{}
	l := testLoader(store, nil)
	l.from = 4
	if err := l.run(t.Context(), strings.NewReader("junk\n"+lines(4)), io.Discard); err != nil {
		t.Fatal(err)
	}
	if len(store) != 2 || store["k3"] != "v" || store["k4"] != "v" {
		t.Errorf("stored %v", store)
	}
}

// TestLoadUnknown: after a time-out everything before the line it names is in.
func TestLoadUnknown(t *testing.T) {
	store := map[string]string{}
	l := testLoader(store, func(key string) error {
		if key == "k41" {
			return &client.Error{Outcome: pbft.OutcomeUnknown, Cause: "no answer", Next: "wait"}
		}
		return nil
	})
	l.timeout = 20 * time.Millisecond
	err := l.run(t.Context(), strings.NewReader(lines(100)), io.Discard)
	code, outcome, cause, next := explain(err)
	if code != exitUnknown || outcome != "unknown" || !strings.Contains(cause, "all lines before line 41 are acknowledged") || !strings.HasSuffix(next, "`tagma load in.jsonl --from-line 41`") {
		t.Errorf("%d %s: %s; %s", code, outcome, cause, next)
	}
	for i := range 40 {
		if _, ok := store[fmt.Sprintf("k%d", i+1)]; !ok {
			t.Errorf("line %d is missing", i+1)
		}
	}
}

// TestLoadRetries: an unknown outcome is tried again within the time-out.
func TestLoadRetries(t *testing.T) {
	left := 3
	store := map[string]string{}
	l := testLoader(store, func(string) error {
		if left--; left >= 0 {
			return &client.Error{Outcome: pbft.OutcomeUnknown, Cause: "no answer"}
		}
		return nil
	})
	if err := l.run(t.Context(), strings.NewReader(lines(1)), io.Discard); err != nil || store["k1"] != "v" {
		t.Errorf("%v, %v", store, err)
	}
}

func TestLoadLongLine(t *testing.T) {
	text := lines(1) + `{"key":"` + strings.Repeat("x", maxLine) + "\"}\n" + `{"key":"last","value":""}`
	store := map[string]string{}
	l := testLoader(store, nil)
	l.skip = true
	if err := l.run(t.Context(), strings.NewReader(text), io.Discard); err != nil || len(store) != 2 {
		t.Errorf("%d stored, %v", len(store), err)
	}
}
