package c2s

import (
	"context"
	"sync"
)

// batch is the context a reader carries a stanza with. It gathers the
// connections that were queued to meanwhile; the reader writes them out
// before it would wait for its client again. A Send that finds no batch, or
// one whose reader is waiting, starts a writer instead.
type batch struct {
	context.Context

	mu    sync.Mutex // guards what follows; taken inside conn.mu, never around it
	open  bool       // the reader is at work and will flush
	conns []*conn
	spare []*conn
}

type batchKey struct{}

// Value implements context.Context.
func (b *batch) Value(key any) any {
	if _, ok := key.(batchKey); ok {
		return b
	}
	return b.Context.Value(key)
}

func batchOf(ctx context.Context) *batch {
	b, _ := ctx.Value(batchKey{}).(*batch)
	return b
}

// Gather is the batch for what goes to many clients and does not come from a
// reader: what is queued under the context waits, unless it becomes much for one
// client, until the function is called, which writes it out. Without one, each
// client gets a goroutine that writes.
func Gather(ctx context.Context) (context.Context, func()) {
	b := &batch{Context: ctx}
	b.begin()
	return b, b.flush
}

// begin says that flush will be called.
func (b *batch) begin() {
	b.mu.Lock()
	b.open = true
	b.mu.Unlock()
}

// add notes a connection; false when nobody would flush it.
func (b *batch) add(c *conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return false
	}
	b.conns = append(b.conns, c)
	return true
}

// keepConns bounds the lists an idle batch holds on to.
const keepConns = 8

// flush writes out what was gathered and closes the batch.
func (b *batch) flush() {
	for {
		b.mu.Lock()
		todo := b.conns
		if len(todo) == 0 {
			b.open = false
			b.mu.Unlock()
			return
		}
		b.conns, b.spare = b.spare, nil
		b.mu.Unlock()
		for _, c := range todo {
			c.flush()
		}
		clear(todo)
		if cap(todo) <= keepConns {
			b.mu.Lock()
			b.spare = todo[:0]
			b.mu.Unlock()
		}
	}
}
