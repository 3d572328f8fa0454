package transport

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// raw reads and writes a TCP connection by system calls that the Go scheduler
// is not told of. That is sound because a socket of package net never blocks
// in one. Being told, the scheduler would wake its monitor thread for every
// frame that reaches an idle process: a sixth of the time of a lone write.
type raw struct {
	conn    syscall.RawConn
	in, out transfer
}

// transfer is one direction: the arguments and results of its call, whose
// callers wait for each other.
type transfer struct {
	b     []byte
	n     int
	errno syscall.Errno
	call  func(fd uintptr) (over bool)
}

// newRaw returns nil for what is no TCP connection.
func newRaw(conn net.Conn) *raw {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	access, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	r := &raw{conn: access}
	r.in.call = func(fd uintptr) bool { return r.in.do(syscall.SYS_READ, fd) }
	r.out.call = func(fd uintptr) bool { r.out.do(syscall.SYS_WRITE, fd); return true }
	return r
}

// do makes the call and reports whether the descriptor was ready for it.
func (t *transfer) do(number, fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall(number, fd, uintptr(unsafe.Pointer(&t.b[0])), uintptr(len(t.b)))
		if errno == syscall.EINTR {
			continue
		}
		t.n, t.errno = int(n), errno
		return errno != syscall.EAGAIN
	}
}

// read waits for bytes.
func (r *raw) read(b []byte) (int, error) {
	r.in.b = b
	err := r.conn.Read(r.in.call)
	r.in.b = nil
	switch {
	case err != nil:
		return 0, err
	case r.in.errno != 0:
		return 0, os.NewSyscallError("read", r.in.errno)
	case r.in.n == 0:
		return 0, io.EOF
	}
	return r.in.n, nil
}

// write writes what the system takes at once, perhaps nothing.
func (r *raw) write(b []byte) (int, error) {
	r.out.b = b
	err := r.conn.Write(r.out.call)
	r.out.b = nil
	switch {
	case err != nil:
		return 0, err
	case r.out.errno == syscall.EAGAIN:
		return 0, nil
	case r.out.errno != 0:
		return 0, os.NewSyscallError("write", r.out.errno)
	}
	return r.out.n, nil
}
