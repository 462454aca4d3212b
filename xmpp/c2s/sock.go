package c2s

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sock is the socket below the stream and below TLS. It differs from a
// net.Conn in two ways. Write never blocks: what the kernel does not take at
// once is kept for Drain, so that a reader that writes for somebody else is
// never held up by a full socket. And Read reads into a borrowed buffer, so
// that an idle connection holds none, and hands out one TLS record at a time:
// crypto/tls keeps a buffer as large as the most it ever got from one Read.
type sock struct {
	net.Conn
	raw syscall.RawConn // nil where there is no descriptor; then all writing is left to Drain, unless Conn is prompt

	// Reading; belongs to the reader, as do the callbacks' arguments.
	records bool  // TLS has begun
	hn      uint8 // bytes of the current record's header that were handed out
	hdr     [5]byte
	left    int // bytes of the current record still to be handed out
	in      *[]byte
	off     int
	readErr error
	readFn  func(fd uintptr) bool

	endPoint []byte // hash of the certificate that was served

	mu       sync.Mutex // guards writing, below
	blocking bool       // during the TLS handshake Write waits
	busy     bool       // Drain writes; what comes meanwhile is kept behind
	kept     []byte
	cork     bool // Write only keeps, until uncork
	out      []byte
	outN     int
	outErr   error
	writeFn  func(fd uintptr)
}

// prompt is a connection without a descriptor that can do what is asked of one.
type prompt interface {
	// Await waits until Read would not.
	Await() error
	// WriteNow takes of p what it can at once.
	WriteNow(p []byte) (n int, err error)
}

// inputs lends buffers that hold the largest TLS record.
var inputs = sync.Pool{New: func() any { b := make([]byte, 0, 5+16384+256); return &b }}

func newSock(c net.Conn) *sock {
	s := &sock{Conn: c}
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			s.raw = raw
			s.readFn = s.readFd
			s.writeFn = s.writeFd
		}
	}
	return s
}

// Read implements net.Conn.
func (s *sock) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s.in == nil {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	rest := (*s.in)[s.off:]
	rest = rest[:min(len(rest), len(p))]
	if !s.records {
		s.used(copy(p, rest))
		return len(rest), nil
	}
	n := 0
	if s.left == 0 { // RFC 8446 §5.1: type, version, length
		n = copy(s.hdr[s.hn:], rest)
		s.hn += uint8(n)
		if s.hn == uint8(len(s.hdr)) {
			s.hn = 0
			s.left = int(s.hdr[3])<<8 | int(s.hdr[4])
		}
	}
	body := min(s.left, len(rest)-n)
	s.left -= body
	n += body
	copy(p, rest[:n])
	s.used(n)
	return n, nil
}

func (s *sock) used(n int) {
	if s.off += n; s.off == len(*s.in) {
		s.release()
	}
}

// fill reads what the kernel has into a borrowed buffer; none is held while it waits.
func (s *sock) fill() error {
	if s.raw == nil {
		if c, ok := s.Conn.(prompt); ok {
			if err := c.Await(); err != nil {
				return err
			}
		}
		s.in = inputs.Get().(*[]byte)
		n, err := s.Conn.Read((*s.in)[:cap(*s.in)])
		*s.in = (*s.in)[:n]
		s.off = 0
		if n == 0 {
			s.release()
		}
		return err
	}
	s.readErr = nil
	if err := s.raw.Read(s.readFn); err != nil {
		return err
	}
	return s.readErr
}

func (s *sock) release() {
	*s.in = (*s.in)[:0]
	inputs.Put(s.in)
	s.in, s.off = nil, 0
}

func (s *sock) readFd(fd uintptr) bool {
	s.in = inputs.Get().(*[]byte)
	for {
		n, err := syscall.Read(int(fd), (*s.in)[:cap(*s.in)])
		if err == syscall.EINTR {
			continue
		}
		if n > 0 {
			*s.in, s.off = (*s.in)[:n], 0
			return true
		}
		s.release()
		if err == syscall.EAGAIN {
			return false
		}
		if s.readErr = io.EOF; err != nil {
			s.readErr = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", err)}
		}
		return true
	}
}

// Write implements net.Conn; crypto/tls calls it too, also out of Read.
func (s *sock) Write(p []byte) (int, error) {
	s.mu.Lock()
	if s.blocking {
		s.mu.Unlock()
		return s.Conn.Write(p)
	}
	defer s.mu.Unlock()
	if s.cork || s.busy || len(s.kept) > 0 {
		s.kept = append(s.kept, p...)
		return len(p), nil
	}
	n, err := s.try(p)
	if err != nil {
		return n, err
	}
	s.kept = append(s.kept, p[n:]...)
	return len(p), nil
}

// try writes once without waiting. It is called with mu held.
func (s *sock) try(p []byte) (int, error) {
	if s.raw == nil {
		if c, ok := s.Conn.(prompt); ok {
			return c.WriteNow(p)
		}
		return 0, nil
	}
	s.out, s.outN, s.outErr = p, 0, nil
	err := s.raw.Control(s.writeFn)
	s.out = nil
	if err == nil {
		err = s.outErr
	}
	return s.outN, err
}

// writeFd sends what the kernel takes at once. The call waits for nothing, so
// the scheduler is not told of it, nor is the poller, which Drain alone asks:
// together that is a seventh of what a short write costs.
func (s *sock) writeFd(fd uintptr) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(s.out))),
			uintptr(len(s.out)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case 0:
			s.outN = int(n)
		case unix.EAGAIN:
		default:
			s.outErr = &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("sendto", errno)}
		}
		return
	}
}

// outputs lends the buffers in which corked gathers.
var outputs = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// corked has f write through crypto/tls, which may cut it into several
// records, and hands them to the kernel together.
func (s *sock) corked(f func() error) (kept int, err error) {
	var lent *[]byte
	s.mu.Lock()
	if len(s.kept) == 0 && !s.busy {
		lent = outputs.Get().(*[]byte)
		s.kept = (*lent)[:0]
	}
	s.cork = true
	s.mu.Unlock()
	err = f()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cork = false
	if lent == nil {
		return len(s.kept), err
	}
	n := 0
	if err == nil {
		n, err = s.try(s.kept)
	}
	rest := s.kept[n:]
	*lent = s.kept[:0]
	s.kept = nil
	if len(rest) > 0 {
		s.kept = append(s.kept, rest...)
	}
	if cap(*lent) <= 128<<10 {
		outputs.Put(lent)
	}
	return len(s.kept), err
}

// pending is the number of bytes kept.
func (s *sock) pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept)
}

// drop removes what was written; an empty buffer is not held. With mu held.
func (s *sock) drop(n int) {
	if n == len(s.kept) {
		s.kept = nil
	} else {
		s.kept = s.kept[n:]
	}
}

// drainPiece is how much Drain writes at once: one deadline covers it.
const drainPiece = 16 << 10

// drain writes what is kept, waiting for the peer at most stall for each piece.
func (s *sock) drain(stall time.Duration) error {
	s.mu.Lock()
	if len(s.kept) == 0 {
		s.mu.Unlock()
		return nil
	}
	s.busy = true
	for len(s.kept) > 0 {
		p := s.kept[:min(len(s.kept), drainPiece)]
		s.mu.Unlock()
		err := s.Conn.SetWriteDeadline(time.Now().Add(stall))
		if err == nil {
			_, err = s.Conn.Write(p)
		}
		s.mu.Lock()
		if err != nil {
			s.busy = false
			s.mu.Unlock()
			return err
		}
		s.drop(len(p))
	}
	s.busy = false
	s.mu.Unlock()
	return s.Conn.SetWriteDeadline(time.Time{})
}

// hold makes Write wait for the peer (true) or not.
func (s *sock) hold(block bool) {
	s.mu.Lock()
	s.blocking = block
	s.mu.Unlock()
}

// CloseWrite ends our direction of TCP; where there is none, the connection.
func (s *sock) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return s.Conn.Close()
}
