// Package stanza holds the XMPP stanza (RFC 6120 §8): a parsed header and
// the verbatim bytes of what is inside, so that routing never decodes and
// re-encodes a payload; and the errors of stanzas and streams.
//
// A Stanza made by FromToken keeps one copy of the element's bytes: its inner
// XML, id, type, lang and addresses are pieces of that string. Who keeps an
// address or an id for longer than the stanza takes jid.JID.Clone or
// strings.Clone of it, or else keeps the whole text alive.
//
// Left out: nothing is known here of what payloads mean. No goroutines.
package stanza

import (
	"strings"

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

// String is the element's name: "message", "presence", "iq".
func (k Kind) String() string {
	switch k {
	case Message:
		return "message"
	case Presence:
		return "presence"
	case IQ:
		return "iq"
	}
	return ""
}

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
	declared uint32 // how much of xml are declarations: mostly nothing
	Type     string // as written; "" for none. Message: "" means normal
	ID, Lang string
	From, To jid.JID
	Payload  Name // first child element
	Children int  // number of child elements

	xml string // the prefix declarations that the inner XML needs, and the inner XML
}

// contentSpace is the namespace that inner XML without prefix stands in.
const contentSpace = "jabber:client"

// xmlSpace is the namespace of xml:lang.
const xmlSpace = "http://www.w3.org/XML/1998/namespace"

// FromToken builds a stanza from an element in jabber:client (or the other
// content namespaces). It copies: the token may be reused. The error is a
// *StreamError (unsupported-stanza-type, invalid-namespace) or a *Error with the
// stanza returned too, when only the header is wrong (jid-malformed in to or from).
// The payload's namespace reads jabber:client in any of the content namespaces.
func FromToken(t *xmlstream.Token) (*Stanza, error) {
	kind, err := kindOf(t)
	if err != nil {
		return nil, err
	}
	from, to := 1+len(t.Name.Local), len(t.Raw) // nothing is wanted of the tags' names
	if off, ok := t.Offset(t.Inner); ok {
		to = off + len(t.Inner)
	}
	raw := copied{string(t.Raw[from:to]), from}
	s := &Stanza{Kind: kind, Payload: t.Payload, Children: t.Children}
	if s.xml = raw.piece(t, t.Inner); len(t.Decls) > 0 {
		s.xml, s.declared = string(t.Decls)+s.xml, uint32(len(t.Decls))
	}
	if s.Payload.Space == t.Name.Space {
		s.Payload.Space = contentSpace
	}
	var bad error
	for i := range t.Attrs {
		a := &t.Attrs[i]
		if a.Name.Space != "" {
			if a.Name.Local == "lang" && a.Name.Space == xmlSpace {
				s.Lang = raw.piece(t, a.Value)
			}
			continue
		}
		switch a.Name.Local {
		case "to":
			s.To, bad = address(raw.piece(t, a.Value), bad)
		case "from":
			s.From, bad = address(raw.piece(t, a.Value), bad)
		case "id":
			s.ID = raw.piece(t, a.Value)
		case "type":
			s.Type = raw.piece(t, a.Value)
		}
	}
	return s, bad
}

// copied is the one copy of what is wanted of a token's Raw, which is what
// stands there from that offset on.
type copied struct {
	xml  string
	from int
}

// piece is b of the token as a part of the copy.
func (c *copied) piece(t *xmlstream.Token, b []byte) string {
	if off, ok := t.Offset(b); ok {
		return c.xml[off-c.from : off-c.from+len(b)]
	}
	return string(b)
}

// kindOf checks the element's name (RFC 6120 §4.9.3.10, §4.9.3.24).
func kindOf(t *xmlstream.Token) (Kind, error) {
	kind := Kind(0)
	switch t.Name.Local {
	case "message":
		kind = Message
	case "presence":
		kind = Presence
	case "iq":
		kind = IQ
	default:
		return 0, &StreamError{Condition: "unsupported-stanza-type"}
	}
	if ns := t.Name.Space; !isContent(ns) || isContent(t.Content) && ns != t.Content {
		return 0, &StreamError{Condition: "invalid-namespace"}
	}
	return kind, nil
}

func isContent(ns string) bool {
	return ns == contentSpace || ns == "jabber:server" || ns == "jabber:component:accept"
}

// address parses to or from; an empty attribute is no address. bad is the
// error of an earlier one.
func address(v string, bad error) (jid.JID, error) {
	if v == "" {
		return jid.JID{}, bad
	}
	j, err := jid.Parse(v)
	if err != nil {
		return jid.JID{}, &Error{Type: Modify, Condition: JIDMalformed, Text: "The address is not a valid XMPP address.", Err: err}
	}
	return j, bad
}

// lenient limits are for what was accepted once and may have been wrapped since.
var lenient = xmlstream.Limits{Bytes: 1 << 30, Depth: 128, Attrs: 64, Name: 256}

// Parse reads one stored or generated stanza with content namespace jabber:client.
func Parse(xml string) (*Stanza, error) {
	t, err := xmlstream.Parse([]byte(xml), contentSpace, lenient)
	if err != nil {
		return nil, err
	}
	return FromToken(&t)
}

// New builds a stanza with the inner XML, which must be well-formed and
// carry its own namespaces (body, subject, show… inherit jabber:client).
func New(kind Kind, typ, id string, from, to jid.JID, inner string) *Stanza {
	s := &Stanza{Kind: kind, Type: typ, ID: id, From: from, To: to, xml: inner}
	s.Payload, s.Children = payload(inner, "")
	return s
}

// NewChild is New for inner XML that is exactly one element of that name; it is
// taken at its word, so a long roster is not read again.
func NewChild(kind Kind, typ, id string, from, to jid.JID, payload Name, inner string) *Stanza {
	return &Stanza{Kind: kind, Type: typ, ID: id, From: from, To: to, Payload: payload, Children: 1, xml: inner}
}

// payload counts the child elements and names the first.
func payload(inner, decls string) (Name, int) {
	if inner == "" {
		return Name{}, 0
	}
	b := make([]byte, 0, len(inner)+len(decls)+7)
	b = append(append(append(b, "<x"...), decls...), '>')
	b = append(append(b, inner...), "</x>"...)
	t, err := xmlstream.Parse(b, contentSpace, lenient)
	if err != nil {
		return Name{}, 0
	}
	return t.Payload, t.Children
}

// Inner returns the verbatim inner XML.
func (s *Stanza) Inner() string { return s.xml[s.declared:] }

// Decls returns the prefix declarations that Inner needs.
func (s *Stanza) Decls() string { return s.xml[:s.declared] }

// WithFrom is s with another sender.
func (s *Stanza) WithFrom(j jid.JID) *Stanza {
	c := *s
	c.From = j
	return &c
}

// WithTo is s with another recipient.
func (s *Stanza) WithTo(j jid.JID) *Stanza {
	c := *s
	c.To = j
	return &c
}

// WithAddress is s with another id, sender and recipient: one copy of a push for each receiver.
func (s *Stanza) WithAddress(id string, from, to jid.JID) *Stanza {
	c := *s
	c.ID, c.From, c.To = id, from, to
	return &c
}

// WithType is s with another type; "" for none.
func (s *Stanza) WithType(t string) *Stanza {
	c := *s
	c.Type = t
	return &c
}

// WithID is s with another id; "" for none.
func (s *Stanza) WithID(id string) *Stanza {
	c := *s
	c.ID = id
	return &c
}

// WithLang is s with another xml:lang; "" for none.
func (s *Stanza) WithLang(l string) *Stanza {
	c := *s
	c.Lang = l
	return &c
}

// WithInner replaces the inner XML (header kept, Payload and Children recomputed).
func (s *Stanza) WithInner(inner string) *Stanza {
	c := *s
	c.xml, c.declared = inner, 0
	c.Payload, c.Children = payload(inner, "")
	return &c
}

// WithAppended adds XML at the end of the inner XML (a delay, a stanza-id).
func (s *Stanza) WithAppended(xml string) *Stanza {
	c := *s
	c.xml += xml
	p, n := payload(xml, s.Decls())
	if c.Children == 0 {
		c.Payload = p
	}
	c.Children += n
	return &c
}

// Element is a parsed child of a stanza.
type Element = xmlstream.Tree

// Elements parses the children; it parses anew at each call. nil when the inner XML is not parseable.
func (s *Stanza) Elements() []Element {
	if s.Children == 0 {
		return nil
	}
	t, err := xmlstream.ParseTree(s.Inner(), s.Decls(), contentSpace)
	if err != nil {
		return nil // only a stanza built by New from malformed XML
	}
	return t
}

// Child returns the first child of that name (space "" = content
// namespace), ok false when absent or the inner XML is not parseable.
func (s *Stanza) Child(space, local string) (Element, bool) {
	if space == "" {
		space = contentSpace
	}
	if !s.mayHave(space, local) {
		return Element{}, false
	}
	for _, e := range s.Elements() {
		if e.Name.Local == local && isName(e.Name.Space, space) {
			return e, true
		}
	}
	return Element{}, false
}

// isName compares namespaces; the content namespaces are one.
func isName(got, want string) bool {
	return got == want || want == contentSpace && isContent(got)
}

// mayHave rules out most children without parsing.
func (s *Stanza) mayHave(space, local string) bool {
	switch s.Children {
	case 0:
		return false
	case 1:
		return s.Payload.Local == local && isName(s.Payload.Space, space)
	}
	return strings.Contains(s.Inner(), local)
}

// HasChild reports a child by name without building a tree.
func (s *Stanza) HasChild(space, local string) bool {
	if space == "" {
		space = contentSpace
	}
	switch {
	case !s.mayHave(space, local):
		return false
	case s.Payload.Local == local && isName(s.Payload.Space, space):
		return true
	}
	_, ok := s.Child(space, local)
	return ok
}

// Body returns the text of <body/> (first one), "" when absent.
func (s *Stanza) Body() string {
	e, _ := s.Child("", "body")
	return e.Text
}

// tags are the start tag of each kind, without its end, and the end tag.
var tags = [...][2]string{Message: {"<message", "</message>"}, Presence: {"<presence", "</presence>"}, IQ: {"<iq", "</iq>"}}

// AppendXML appends the stanza. content "" writes no xmlns (inside a stream
// that declared it); a WebSocket frame or a file passes "jabber:client".
func (s *Stanza) AppendXML(dst []byte, content string) []byte {
	tag := &tags[s.Kind]
	dst = append(dst, tag[0]...)
	dst = appendAttr(dst, " xmlns='", content)
	dst = appendAttr(dst, " type='", s.Type)
	dst = appendAttr(dst, " id='", s.ID)
	dst = appendAttr(dst, " from='", s.From.String())
	dst = appendAttr(dst, " to='", s.To.String())
	dst = appendAttr(dst, " xml:lang='", s.Lang)
	if s.Inner() == "" {
		return append(dst, "/>"...)
	}
	if s.declared > 0 {
		dst = append(dst, s.Decls()...)
	}
	dst = append(append(dst, '>'), s.Inner()...)
	return append(dst, tag[1]...)
}

// appendAttr writes an attribute that is not empty.
func appendAttr(dst []byte, lead, value string) []byte {
	if value == "" {
		return dst
	}
	return append(xmlstream.AppendValue(append(dst, lead...), value), '\'')
}

// String is AppendXML with no xmlns: a form Parse reads again. With a content of jabber:client implied.
func (s *Stanza) String() string {
	return string(s.AppendXML(make([]byte, 0, s.Size()), ""))
}

// Size is the number of bytes AppendXML(nil, "") would write, at most a few off; for queue limits.
func (s *Stanza) Size() int {
	n := len(s.Kind.String()) + 3
	if s.Inner() != "" {
		n += len(s.Kind.String()) + 2 + len(s.xml)
	}
	for _, a := range [...]struct{ extra, value int }{
		{8, len(s.Type)}, {6, len(s.ID)}, {8, len(s.From.String())}, {6, len(s.To.String())}, {12, len(s.Lang)},
	} {
		if a.value > 0 {
			n += a.extra + a.value
		}
	}
	return n
}

// Reply answers an IQ with a result carrying inner ("" for an empty one):
// from and to swapped, id kept (RFC 6120 §8.1.3, §8.2.3).
func (s *Stanza) Reply(inner string) *Stanza {
	return New(s.Kind, string(Result), s.ID, s.To, s.From, inner)
}
