// Command counter is a replicated service on the library: a counter that stays
// right when one of its four replicas lies. docs/library.md walks through it.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/machine"
	"github.com/tagma-db/tagma/node"
)

type counter struct{}

// Execute implements machine.Machine: every replica runs the same operations in
// the same order on its own rows, and must come to the same result.
func (counter) Execute(rows machine.Rows, call machine.Call) []byte {
	sum := make([]byte, 8)
	if value, ok := rows.Get([]byte("sum")); ok {
		copy(sum, value)
	}
	if len(call.Op) == 8 { // operations are hostile input: all else adds nothing
		binary.BigEndian.PutUint64(sum, binary.BigEndian.Uint64(sum)+binary.BigEndian.Uint64(call.Op))
		rows.Set([]byte("sum"), sum)
	}
	return sum
}

func main() {
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == "node":
		n := must(node.Start(node.Options{Dir: args[1], Machine: counter{}}))
		must(0, n.Wait())
	case len(args) == 3 && args[0] == "add":
		c := must(client.Open(client.Options{Dir: args[1]}))
		defer c.Close()
		amount := must(strconv.ParseUint(args[2], 10, 64))
		sum := must(c.Do(context.Background(), binary.BigEndian.AppendUint64(nil, amount)))
		fmt.Println(binary.BigEndian.Uint64(sum))
	default:
		log.Fatal("usage: counter node DIR/node-N | counter add DIR AMOUNT")
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
