// Package stanza holds the XMPP stanza (RFC 6120 §8): a parsed header and
// the verbatim bytes of what is inside, so that routing never decodes and
// re-encodes a payload.
package stanza

import (
	"doorway/xmpp/jid"
	"doorway/xmpp/xmlstream"
)

// Kind is the stanza's element.
type Kind uint8

// The three stanzas.
const (
	Message Kind = iota + 1
	Presence
	IQ
)

func (k Kind) String() string { panic("skeleton") } // "message", "presence", "iq"

// Name is an expanded XML name.
type Name = xmlstream.Name

// IQType is get, set, result or error (RFC 6120 §8.2.3).
type IQType string

// The four types of IQ.
const (
	Get       IQType = "get"
	Set       IQType = "set"
	Result    IQType = "result"
	TypeError        = "error" // any kind of stanza
)

// Stanza is immutable once built: the With methods copy the header and share
// the inner bytes. Safe for concurrent use.
type Stanza struct {
	Kind     Kind
	Type     string // as written; "" for none. Message: "" means normal
	ID, Lang string
	From, To jid.JID
	Payload  Name // first child element
	Children int  // number of child elements

	decls, inner string
}

// FromToken builds a stanza from an element in jabber:client (or the other
// content namespaces). It copies: the token may be reused. The error is a
// *StreamError (unsupported-stanza-type, invalid-namespace) or a *Error with the
// stanza returned too, when only the header is wrong (jid-malformed in to or from).
func FromToken(t *xmlstream.Token) (*Stanza, error) { panic("skeleton") }

// Parse reads one stored or generated stanza with content namespace jabber:client.
func Parse(xml string) (*Stanza, error) { panic("skeleton") }

// New builds a stanza with the inner XML, which must be well-formed and
// carry its own namespaces (body, subject, show… inherit jabber:client).
func New(kind Kind, typ, id string, from, to jid.JID, inner string) *Stanza { panic("skeleton") }

// Inner returns the verbatim inner XML, Decls the prefix declarations it needs.
func (s *Stanza) Inner() string { return s.inner }
func (s *Stanza) Decls() string { return s.decls }

func (s *Stanza) WithFrom(j jid.JID) *Stanza { panic("skeleton") }
func (s *Stanza) WithTo(j jid.JID) *Stanza   { panic("skeleton") }
func (s *Stanza) WithType(t string) *Stanza  { panic("skeleton") }
func (s *Stanza) WithID(id string) *Stanza   { panic("skeleton") }
func (s *Stanza) WithLang(l string) *Stanza  { panic("skeleton") }

// WithInner replaces the inner XML (header kept, Payload and Children recomputed).
func (s *Stanza) WithInner(inner string) *Stanza { panic("skeleton") }

// WithAppended adds XML at the end of the inner XML (a delay, a stanza-id).
func (s *Stanza) WithAppended(xml string) *Stanza { panic("skeleton") }

// Elements parses the children; it parses anew at each call. Child returns the first of that name (space "" = content
// namespace), ok false when absent or the inner XML is not parseable.
func (s *Stanza) Elements() []Element                       { panic("skeleton") }
func (s *Stanza) Child(space, local string) (Element, bool) { panic("skeleton") }

// HasChild reports a child by name without building a tree.
func (s *Stanza) HasChild(space, local string) bool { panic("skeleton") }

// Body returns the text of <body/> (first one), "" when absent.
func (s *Stanza) Body() string { panic("skeleton") }

// Element is a parsed child of a stanza.
type Element = xmlstream.Tree

// AppendXML appends the stanza. content "" writes no xmlns (inside a stream
// that declared it); a WebSocket frame or a file passes "jabber:client".
func (s *Stanza) AppendXML(dst []byte, content string) []byte { panic("skeleton") }

// String is AppendXML with no xmlns: a form Parse reads again. With a content of jabber:client implied.
func (s *Stanza) String() string { panic("skeleton") }

// Size is the number of bytes AppendXML(nil, "") would write, at most a few off; for queue limits.
func (s *Stanza) Size() int { panic("skeleton") }

// Reply answers an IQ with a result carrying inner ("" for an empty one):
// from and to swapped, id kept (RFC 6120 §8.1.3, §8.2.3).
func (s *Stanza) Reply(inner string) *Stanza { panic("skeleton") }

// ErrorReply builds the error answer (RFC 6120 §8.3): type error, addresses swapped, id kept, sender's payload not
// repeated. nil when s is itself an error or an IQ result, which are never answered (§8.3.1).
func (s *Stanza) ErrorReply(e *Error) *Stanza { panic("skeleton") }
