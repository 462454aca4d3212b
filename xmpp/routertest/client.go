package routertest

import (
	"context"
	"sync"

	"doorway/xmpp"
	"doorway/xmpp/router"
	"doorway/xmpp/stanza"
)

// Stream is an emulated stream that keeps what it is given. The fields are set
// while nothing comes, if at all. The methods are safe for concurrent use.
type Stream struct {
	Inbox
	Acking   bool   // XEP-0198 is on
	Gone     bool   // its client's link was lost, and may come back
	Language string // xml:lang of the stream header
	Quiet    bool   // keeps nothing, for benchmarks
	Pacing   func() // called by Pace; nil does nothing
	// OnSend is called for each stanza after it was kept.
	OnSend func(*stanza.Stanza)
	// OnClose is called when the router closes the stream.
	OnClose func()

	state sync.Mutex // guards what follows
	ended string
	holds int
	late  func(*stanza.Stanza)
}

var (
	_ router.Stream      = (*Stream)(nil)
	_ xmpp.Acknowledging = (*Stream)(nil)
	_ xmpp.Absentee      = (*Stream)(nil)
)

// Absent implements xmpp.Absentee.
func (s *Stream) Absent() bool { return s.Gone }

// Pace implements xmpp.Paced.
func (s *Stream) Pace() {
	if s.Pacing != nil {
		s.Pacing()
	}
}

// Hold implements xmpp.Holder: it is counted.
func (s *Stream) Hold() (release func(error)) {
	s.state.Lock()
	defer s.state.Unlock()
	s.holds++
	return func(err error) {
		s.state.Lock()
		defer s.state.Unlock()
		if err != nil {
			panic("a stream's hold is released with an error")
		}
		s.holds--
	}
}

// Holds returns how many holds are taken and not released: above zero, the
// stream would not acknowledge what its client has sent.
func (s *Stream) Holds() int {
	s.house.settle()
	s.state.Lock()
	defer s.state.Unlock()
	return s.holds
}

// Send implements router.Stream.
func (s *Stream) Send(_ context.Context, st *stanza.Stanza) {
	if s.Quiet {
		return
	}
	s.state.Lock()
	late := s.late
	if late == nil {
		s.put(st)
	}
	s.state.Unlock()
	switch {
	case late != nil:
		late(st)
	case s.OnSend != nil:
		s.OnSend(st)
	}
}

// End has the stream keep nothing more and returns what it has. What comes
// afterwards goes to late, which gives it back by router.Session.Unbind.
func (s *Stream) End(late func(*stanza.Stanza)) []*stanza.Stanza {
	s.state.Lock()
	s.late = late
	s.state.Unlock()
	return s.Take()
}

// Close implements router.Stream.
func (s *Stream) Close(err *stanza.StreamError) {
	s.state.Lock()
	s.ended = "closed"
	if err != nil {
		s.ended = err.Condition
	}
	s.state.Unlock()
	if s.OnClose != nil {
		s.OnClose()
	}
}

// Ended returns the condition of the stream error that the router closed the
// stream with, "closed" for an ordinary close, "" while it is open.
func (s *Stream) Ended() string {
	s.state.Lock()
	defer s.state.Unlock()
	return s.ended
}

// Secure implements router.Stream: true.
func (s *Stream) Secure() bool { return true }

// Addr implements router.Stream.
func (s *Stream) Addr() string { return "127.0.0.1:1" }

// Acks implements xmpp.Acknowledging.
func (s *Stream) Acks() bool { return s.Acking }

// Lang tells the router the stream's language.
func (s *Stream) Lang() string { return s.Language }

// Client is a bound resource at a House.
type Client struct {
	*Stream
	Session *router.Session // nil before bind
	House   *House
}

// Say has the client send stanzas.
func (c *Client) Say(xml ...string) {
	c.House.T.Helper()
	for _, x := range xml {
		if err := c.Session.Handle(context.Background(), Parse(c.House.T, x)); err != nil {
			c.House.T.Fatalf("%s: %v", x, err)
		}
	}
}

// Ask sends an IQ, to nobody with to "", and returns the Content of the
// answer, which must have come by then. Whatever else came stays.
func (c *Client) Ask(typ, to, payload string) string {
	c.House.T.Helper()
	if to != "" {
		to = " to='" + to + "'"
	}
	c.Say("<iq type='" + typ + "' id='ask'" + to + ">" + payload + "</iq>")
	got := c.Pick(func(st *stanza.Stanza) bool {
		return st.Kind == stanza.IQ && st.ID == "ask" && (st.Type == "result" || st.Type == "error")
	})
	if len(got) != 1 {
		c.House.T.Errorf("%s%s: %d answers", payload, to, len(got))
		return ""
	}
	return Content(got[0])
}

// Leave ends the stream without a word; everything was acknowledged.
func (c *Client) Leave() { c.Session.Unbind(context.Background(), nil) }
