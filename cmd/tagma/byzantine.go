package main

import (
	"slices"
	"strings"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/host"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/sim"
)

// A demo's nodes misbehave as the simulator's do.

func behaviourList() string { return strings.Join(sim.Behaviours(), ", ") }

func checkBehaviour(name string) error {
	if !slices.Contains(sim.Behaviours(), name) {
		return usage("choose one of "+behaviourList(), "unknown behaviour %q", name)
	}
	return nil
}

// behave makes a node put the named behaviour between itself and its links.
func behave(name string) func(*pbft.Config, int, auth.Signer, host.Outbox) (host.Outbox, error) {
	return func(cfg *pbft.Config, self int, signer auth.Signer, next host.Outbox) (host.Outbox, error) {
		return sim.Behaviour(name, cfg, self, signer, next)
	}
}
