//go:build !linux

package transport

import "net"

// raw is for Linux only; elsewhere every frame goes through the link's writer.
type raw struct{}

func newRaw(net.Conn) *raw { return nil }

func (*raw) read([]byte) (int, error)  { panic("transport: no raw sockets here") }
func (*raw) write([]byte) (int, error) { panic("transport: no raw sockets here") }
