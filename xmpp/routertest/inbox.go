package routertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
)

// Inbox keeps what somebody got, in order. Safe for concurrent use. One that
// belongs to no House has no Recv and Want.
type Inbox struct {
	house *House
	who   string

	mu  sync.Mutex // guards got
	got []*stanza.Stanza
}

func (b *Inbox) put(st *stanza.Stanza) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, st)
}

// All returns what has come and was not taken yet, and leaves it there.
func (b *Inbox) All() []*stanza.Stanza {
	b.house.settle()
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

// Take returns what has come since the last time.
func (b *Inbox) Take() []*stanza.Stanza {
	b.house.settle()
	b.mu.Lock()
	defer b.mu.Unlock()
	got := b.got
	b.got = nil
	return got
}

// Pick takes out all that f accepts and leaves the rest.
func (b *Inbox) Pick(f func(*stanza.Stanza) bool) []*stanza.Stanza {
	b.house.settle()
	b.mu.Lock()
	defer b.mu.Unlock()
	var picked, rest []*stanza.Stanza
	for _, st := range b.got {
		if f(st) {
			picked = append(picked, st)
		} else {
			rest = append(rest, st)
		}
	}
	b.got = rest
	return picked
}

// Recv is Take with a line for each stanza.
func (b *Inbox) Recv() []string {
	line := b.house.Line
	if line == nil {
		line = Line
	}
	var lines []string
	for _, st := range b.Take() {
		lines = append(lines, line(st))
	}
	return lines
}

// Want expects exactly these lines, in order, since the last time; none for
// nothing at all.
func (b *Inbox) Want(what string, lines ...string) {
	b.house.T.Helper()
	Same(b.house.T, what+": "+b.who, b.Recv(), lines...)
}

// One expects exactly one stanza since the last time and returns it.
func (b *Inbox) One() *stanza.Stanza {
	b.house.T.Helper()
	got := b.Take()
	if len(got) != 1 {
		b.house.T.Fatalf("%s got %d stanzas, want one: %v", b.who, len(got), got)
	}
	return got[0]
}

// Same expects exactly these lines, in order.
func Same(t testing.TB, who string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s got\n  %s\nwant\n  %s", who, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// Line is a stanza in a line: "type id from > to content", with the kind for
// no type and nothing for no id.
func Line(st *stanza.Stanza) string {
	typ := st.Type
	if typ == "" {
		typ = st.Kind.String()
	}
	if st.ID != "" {
		typ += " " + st.ID
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s > %s %s", typ, st.From, st.To, Content(st)))
}

// Content is what is in a stanza: the condition of an error, with the
// application's own element if there is one, or else the inner XML.
func Content(st *stanza.Stanza) string {
	if e, ok := stanza.ErrorOf(st); ok {
		return strings.TrimSpace(string(e.Condition) + " " + e.App)
	}
	return st.Inner()
}

// Peer is a hosted domain that keeps what it is given. On is set before
// anything comes, if at all.
type Peer struct {
	Inbox
	// On, when not nil, is called for each stanza before it is kept; it may block.
	On func(*stanza.Stanza)
}

// Handle implements xmpp.Handler.
func (p *Peer) Handle(_ context.Context, d *xmpp.Delivery) (xmpp.Verdict, error) {
	if p.On != nil {
		p.On(d.Stanza)
	}
	p.put(d.Stanza)
	return xmpp.Done, nil
}
