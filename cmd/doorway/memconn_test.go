package main

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// memConn is the server's end of a connection in memory, without a kernel below.
// It takes all that the server writes at once (the prompt connections of
// xmpp/c2s), for the client's end or, once the client is deaf, for nobody.
type memConn struct {
	deaf  atomic.Bool
	taken *atomic.Int64 // bytes that nobody reads

	mu       sync.Mutex // guards what follows
	came     *sync.Cond
	in, out  []byte // to the server, to the client
	closed   bool
	deadline bool // the server's reads have ended
}

// memClient is the client's end.
type memClient struct{ *memConn }

func newMemConn(taken *atomic.Int64) *memConn {
	c := &memConn{taken: taken}
	c.came = sync.NewCond(&c.mu)
	return c
}

// read moves bytes from one end's buffer; wait tells it to wait for some.
func (c *memConn) read(from *[]byte, p []byte, server bool) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(*from) == 0 {
		switch {
		case server && c.deadline:
			return 0, os.ErrDeadlineExceeded
		case c.closed:
			return 0, io.EOF
		}
		c.came.Wait()
	}
	n := copy(p, *from)
	if *from = (*from)[n:]; len(*from) == 0 && len(p) > 0 {
		*from = nil
	}
	return n, nil
}

func (c *memConn) write(to *[]byte, p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	*to = append(*to, p...)
	c.came.Broadcast()
	return len(p), nil
}

func (c *memConn) Read(p []byte) (int, error) { return c.read(&c.in, p, true) }

// Await waits for input without taking any.
func (c *memConn) Await() error {
	_, err := c.read(&c.in, nil, true)
	return err
}

func (c *memConn) WriteNow(p []byte) (int, error) {
	if c.deaf.Load() {
		c.taken.Add(int64(len(p)))
		return len(p), nil
	}
	return c.write(&c.out, p)
}

func (c *memConn) Write(p []byte) (int, error) { return c.WriteNow(p) }

func (c *memConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.came.Broadcast()
	return nil
}

// SetReadDeadline knows only deadlines that have passed: they end a connection.
func (c *memConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = !t.IsZero() && time.Until(t) <= 0
	c.came.Broadcast()
	return nil
}

func (c *memConn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }
func (c *memConn) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5223} }
func (c *memConn) RemoteAddr() net.Addr             { return c.LocalAddr() }

func (c memClient) Read(p []byte) (int, error)      { return c.read(&c.out, p, false) }
func (c memClient) Write(p []byte) (int, error)     { return c.write(&c.in, p) }
func (c memClient) SetReadDeadline(time.Time) error { return nil }
func (c memClient) SetDeadline(time.Time) error     { return nil }

// memListener has the server accept connections in memory.
type memListener struct {
	conns chan net.Conn
	ctx   context.Context
	close context.CancelFunc
}

func newMemListener() *memListener {
	l := &memListener{conns: make(chan net.Conn)}
	l.ctx, l.close = context.WithCancel(context.Background())
	return l
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.close()
	return nil
}

func (l *memListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5223} }
