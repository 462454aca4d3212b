package c2s

import (
	"time"

	"doorway/xmpp/sasl"
	"doorway/xmpp/stanza"
	"doorway/xmpp/xmlstream"
)

// Link is a client's connection as this package sees it: frames in, frames
// out. TCP with and without TLS is one; RFC 7395 is another. Next, Ready,
// Wait, Restart and Shut belong to one goroutine, Write and Drain to another at a
// time; the rest is safe for concurrent use.
//
// The Append methods encode one frame as the wire wants it. Write takes
// whole frames, any number, as they were appended. XML that is one space keeps
// the stream alive (RFC 6120 §4.6.1).
type Link interface {
	// Next returns the next frame, as xmlstream.Reader.Next does. A deadline
	// error is resumable. While it is watched it need not wait between two
	// frames, but may return errAgain.
	Next() (xmlstream.Token, error)
	// Ready reports that Next would not wait for the client; Wait does so,
	// on less stack than Next, until there is some input.
	Ready() bool
	Wait() error
	// Restart begins a new stream on the link (RFC 6120 §4.3.3) with other limits.
	Restart(lim xmlstream.Limits)
	// Watch sets who is told of the input; nil ends it.
	Watch(m Meter)
	SetReadDeadline(t time.Time) error

	AppendOpen(dst []byte, h Header) []byte
	AppendStanza(dst []byte, s *stanza.Stanza) []byte
	AppendXML(dst []byte, xml string) []byte // a nonza, features or a stream error
	AppendClose(dst []byte) []byte

	// Write never blocks: it hands over what the connection takes at once and
	// keeps the rest. kept is what has been kept, in bytes.
	Write(p []byte) (kept int, err error)
	// Drain writes what was kept. It gives up when nothing moves for stall.
	Drain(stall time.Duration) error
	// Shut says goodbye below XML (TLS close_notify) after the last Write,
	// and throws away what the client sends until it does the same, but no
	// later than limit. Close ends everything at once.
	Shut(limit time.Time) error
	Close() error

	// Echoes reports that the client answers the white space that keeps the
	// stream alive, as RFC 6455 §5.5.2 has it.
	Echoes() bool

	Secure() bool
	Binding() sasl.Binding // for SASL channel binding
	Addr() string          // the client's IP address, without port
}

// Meter watches the input of a Link.
type Meter interface {
	// BeforeRead is called when the link is about to wait for the client;
	// inside says that a frame has begun and is not complete. It may wait,
	// to slow the client down; its error ends Next.
	BeforeRead(inside bool) error
	// AfterRead tells that n bytes have come.
	AfterRead(n int)
	// Reply queues what the link itself has to answer, a whole frame.
	Reply(frame string)
}

// Header is what a stream's opening says (RFC 6120 §4.7).
type Header struct{ ID, From, To, Lang string }
