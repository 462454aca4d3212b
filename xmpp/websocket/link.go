package websocket

import (
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"doorway/xmpp/c2s"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// Namespaces.
const (
	nsFraming = "urn:ietf:params:xml:ns:xmpp-framing"
	nsStream  = "http://etherx.jabber.org/streams"
	nsClient  = "jabber:client"
)

// link is a client's stream of messages (RFC 7395 §3.3): each is one whole
// element that declares its own namespaces.
type link struct {
	*c2s.Carrier
	in    decoder
	lim   xmlstream.Limits
	meter c2s.Meter
	given bool // Next has returned the message in the decoder
	fresh bool // the next element has to be <open/>
	code  int  // of our close frame; 0: 1000

	writing sync.Mutex   // one Write at a time
	parting atomic.Int32 // how far the closing is
}

// Values of parting.
const (
	neither int32 = iota
	theirs        // the client's has come
	ours          // ours has been sent
)

var _ c2s.Link = (*link)(nil)

// newLink makes a link of a connection that has been upgraded. early is what
// net/http had read of it already.
func newLink(c *c2s.Carrier, early []byte) *link {
	l := &link{Carrier: c, fresh: true}
	for len(early) > 0 {
		n := copy(l.in.room(), early)
		l.in.to += n
		early = early[n:]
	}
	return l
}

// Next implements c2s.Link.
func (l *link) Next() (t xmlstream.Token, err error) {
	for {
		done, err := l.advance()
		if err != nil {
			return t, err
		}
		if done {
			return l.element()
		}
		if err := l.fill(); err != nil {
			return t, err
		}
	}
}

// Ready implements c2s.Link.
func (l *link) Ready() bool {
	done, err := l.advance()
	return done || err != nil
}

// Wait implements c2s.Link.
func (l *link) Wait() error {
	if l.Pending() {
		return nil
	}
	if l.meter != nil {
		if err := l.meter.BeforeRead(l.in.partial()); err != nil {
			return err
		}
	}
	return l.Carrier.Wait()
}

// fill reads more input.
func (l *link) fill() error {
	if l.meter != nil && !l.Pending() && !l.in.partial() {
		return c2s.ErrAgain
	}
	if err := l.Wait(); err != nil {
		return l.ended(err)
	}
	n, err := l.Read(l.in.room())
	l.in.to += n
	if l.meter != nil && n > 0 {
		l.meter.AfterRead(n)
	}
	if n > 0 {
		return nil
	}
	l.in.rest()
	return l.ended(err)
}

// ended tells an end inside a message from one between two.
func (l *link) ended(err error) error {
	if err == io.EOF && l.in.partial() {
		return io.ErrUnexpectedEOF
	}
	return err
}

// advance works through the input until a message is whole, and answers what
// is no message.
func (l *link) advance() (done bool, err error) {
	if l.given {
		l.given = false
		l.in.drop()
	}
	for {
		c, err := l.in.next()
		var f *fatal
		switch {
		case err == errIncomplete:
			l.in.rest()
			return false, nil
		case errors.As(err, &f):
			l.code = f.code
			return false, err
		case err != nil:
			return false, err
		}
		switch c.op {
		case 0:
			return true, nil
		case opPing:
			if err := l.reply(controlFrame(nil, opPong, c.payload)); err != nil {
				return false, err
			}
		case opClose:
			l.parting.CompareAndSwap(neither, theirs)
		}
	}
}

// reply sends a frame of our own in between: through who watches, as soon as
// others may be writing too.
func (l *link) reply(frame []byte) error {
	if l.meter != nil {
		l.meter.Reply(string(frame))
		return nil
	}
	kept, err := l.Write(frame)
	if err == nil && kept > 0 {
		err = l.Drain(replyWait)
	}
	return err
}

// replyWait bounds how long a client that negotiates may not read.
const replyWait = 10 * time.Second

// element reads the message that is whole.
func (l *link) element() (t xmlstream.Token, err error) {
	l.given = true
	m := l.in.message()
	if len(m) == 0 || m[0] != '<' { // RFC 7395 §3.3.1
		return t, &stanza.StreamError{Condition: "bad-format", Text: "A message has to begin with <."}
	}
	if t, err = xmlstream.Parse(m, "", l.lim); err != nil {
		return t, err
	}
	fresh := l.fresh
	l.fresh = false
	switch {
	case t.Name.Space != nsFraming:
	case t.Name.Local == "open" && fresh: // to c2s it is the header of a stream
		t.Kind, t.Prefix, t.Content = xmlstream.StreamOpen, "stream", nsClient
		t.Name = xmlstream.Name{Space: nsStream, Local: "stream"}
	case t.Name.Local == "close":
		t.Kind = xmlstream.StreamClose
	}
	return t, nil
}

// Restart implements c2s.Link. What has been read stays: a message that came
// early is one all the same.
func (l *link) Restart(lim xmlstream.Limits) {
	if l.given {
		l.given = false
		l.in.drop()
	}
	l.lim, l.in.max, l.fresh = lim, lim.Bytes, true
	if l.in.max <= 0 {
		l.in.max = xmlstream.DefaultLimits.Bytes
	}
}

// Watch implements c2s.Link.
func (l *link) Watch(m c2s.Meter) { l.meter = m }

// Echoes implements c2s.Link: a client answers each ping.
func (l *link) Echoes() bool { return true }

// AppendOpen implements c2s.Link (RFC 7395 §3.4).
func (l *link) AppendOpen(dst []byte, h c2s.Header) []byte {
	at := len(dst)
	dst = append(begin(dst), "<open xmlns='"+nsFraming+"' id='"...)
	dst = append(dst, h.ID...)
	dst = append(dst, "' from='"...)
	dst = xmlstream.AppendEscaped(dst, h.From)
	if h.To != "" {
		dst = append(dst, "' to='"...)
		dst = xmlstream.AppendEscaped(dst, h.To)
	}
	dst = append(dst, "' version='1.0' xml:lang='"...)
	dst = append(dst, h.Lang...)
	return seal(append(dst, "'/>"...), at)
}

// AppendStanza implements c2s.Link.
func (l *link) AppendStanza(dst []byte, s *stanza.Stanza) []byte {
	at := len(dst)
	return seal(s.AppendXML(begin(dst), nsClient), at)
}

// AppendXML implements c2s.Link. Features and stream errors are written with
// a prefix that a stream over TCP has declared (RFC 7395 §3.3.3).
func (l *link) AppendXML(dst []byte, xml string) []byte {
	if xml == " " { // RFC 7395 §3.8
		return controlFrame(dst, opPing, nil)
	}
	at := len(dst)
	dst = begin(dst)
	if strings.HasPrefix(xml, "<stream:") {
		end := strings.IndexAny(xml, " />")
		dst = append(dst, xml[:end]...)
		dst = append(dst, " xmlns:stream='"+nsStream+"'"...)
		xml = xml[end:]
	}
	return seal(append(dst, xml...), at)
}

// AppendClose implements c2s.Link (RFC 7395 §3.6).
func (l *link) AppendClose(dst []byte) []byte {
	at := len(dst)
	return seal(append(begin(dst), "<close xmlns='"+nsFraming+"'/>"...), at)
}

// Write implements c2s.Link.
func (l *link) Write(p []byte) (kept int, err error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.Carrier.Write(p)
}

// Shut implements c2s.Link: our close frame, then the end of TCP, which the
// server has to begin (RFC 6455 §7.1.1).
func (l *link) Shut(limit time.Time) error {
	l.parting.Store(ours)
	code := l.code
	if code == 0 {
		code = normal
	}
	if _, err := l.Write(closeFrame(nil, code)); err != nil {
		return err
	}
	return l.Carrier.Shut(limit)
}

// Close implements c2s.Link. A client that has begun to close gets its answer
// (RFC 6455 §5.5.1), unless somebody is just writing to it.
func (l *link) Close() error {
	if l.parting.CompareAndSwap(theirs, ours) && l.writing.TryLock() {
		_, _ = l.Carrier.Write(closeFrame(nil, normal)) // ignored: the connection ends either way
		l.writing.Unlock()
	}
	return l.Carrier.Close()
}
