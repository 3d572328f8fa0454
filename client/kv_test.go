package client

import (
	"errors"
	"strings"
	"testing"

	"github.com/tagma-db/tagma/pbft"
)

// TestEmptyAnswer: an answer without a byte may stand for an operation that
// was left out, so nothing is said to be done.
func TestEmptyAnswer(t *testing.T) {
	_, err := decodeAnswer(nil)
	var e *Error
	if !errors.As(err, &e) || e.Outcome != pbft.OutcomeUnknown || strings.Contains(e.Cause, "done") || e.Next == "" {
		t.Errorf("%v", err)
	}
}
