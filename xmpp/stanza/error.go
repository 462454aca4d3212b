package stanza

import (
	"strings"

	"doorway/xmpp/jid"
	"doorway/xmpp/xmlstream"
)

// ErrorType is the error's class (RFC 6120 §8.3.2).
type ErrorType string

// The five classes.
const (
	Auth     ErrorType = "auth"
	Cancel   ErrorType = "cancel"
	Continue ErrorType = "continue"
	Modify   ErrorType = "modify"
	Wait     ErrorType = "wait"
)

// Condition is a defined condition (RFC 6120 §8.3.3).
type Condition string

// The defined conditions.
const (
	BadRequest            Condition = "bad-request"
	Conflict              Condition = "conflict"
	FeatureNotImplemented Condition = "feature-not-implemented"
	Forbidden             Condition = "forbidden"
	Gone                  Condition = "gone"
	InternalServerError   Condition = "internal-server-error"
	ItemNotFound          Condition = "item-not-found"
	JIDMalformed          Condition = "jid-malformed"
	NotAcceptable         Condition = "not-acceptable"
	NotAllowed            Condition = "not-allowed"
	NotAuthorized         Condition = "not-authorized"
	PolicyViolation       Condition = "policy-violation"
	RecipientUnavailable  Condition = "recipient-unavailable"
	Redirect              Condition = "redirect"
	RegistrationRequired  Condition = "registration-required"
	RemoteServerNotFound  Condition = "remote-server-not-found"
	RemoteServerTimeout   Condition = "remote-server-timeout"
	ResourceConstraint    Condition = "resource-constraint"
	ServiceUnavailable    Condition = "service-unavailable"
	SubscriptionRequired  Condition = "subscription-required"
	UndefinedCondition    Condition = "undefined-condition"
	UnexpectedRequest     Condition = "unexpected-request"
)

// Error is a stanza error. Text is a sentence for the person; Err is logged, never sent.
type Error struct {
	Type      ErrorType // "" takes the condition's usual type
	Condition Condition
	Text      string
	Instead   string // with gone and redirect: the new address, a URI (RFC 6120 §8.3.3.5, §8.3.3.14)
	App       string // optional application-specific element, raw XML with its xmlns
	By        jid.JID
	Err       error
}

// Namespaces of the conditions (RFC 6120 §8.3.2, §4.9.2).
const (
	stanzaErrors = "urn:ietf:params:xml:ns:xmpp-stanzas"
	streamErrors = "urn:ietf:params:xml:ns:xmpp-streams"
	streamSpace  = "http://etherx.jabber.org/streams"
)

// errorTypes are the types RFC 6120 §8.3.3 gives the conditions; the others are cancel.
var errorTypes = map[Condition]ErrorType{
	Forbidden: Auth, NotAuthorized: Auth, RegistrationRequired: Auth, SubscriptionRequired: Auth,
	BadRequest: Modify, JIDMalformed: Modify, NotAcceptable: Modify, PolicyViolation: Modify, Redirect: Modify,
	RecipientUnavailable: Wait, RemoteServerTimeout: Wait, ResourceConstraint: Wait, UnexpectedRequest: Wait,
}

func usualType(c Condition) ErrorType {
	if t, ok := errorTypes[c]; ok {
		return t
	}
	return Cancel
}

// NewError gives the condition its usual type (RFC 6120 §8.3.3).
func NewError(c Condition, text string) *Error {
	return &Error{Type: usualType(c), Condition: c, Text: text}
}

func (e *Error) Error() string {
	return describe("stanza error "+string(e.Condition), e.Text, e.Err)
}

// Unwrap returns the cause that is logged.
func (e *Error) Unwrap() error { return e.Err }

func describe(s, text string, err error) string {
	if text != "" {
		s += ": " + text
	}
	if err != nil {
		s += ": " + err.Error()
	}
	return s
}

// XML is the <error/> element (RFC 6120 §8.3.2).
func (e *Error) XML() string {
	typ, cond := e.Type, e.Condition
	if cond == "" {
		cond = UndefinedCondition
	}
	if typ == "" {
		typ = usualType(cond)
	}
	var w xmlstream.Writer
	w.Start("", "error", "type", string(typ), "by", e.By.String())
	w.Leaf(stanzaErrors, string(cond), e.Instead)
	if e.Text != "" {
		w.Leaf(stanzaErrors, "text", e.Text, "xml:lang", "en")
	}
	return w.Raw(e.App).End().String()
}

// ErrorOf parses the <error/> of a stanza of type error; ok false without one.
// An unknown or absent condition reads as undefined-condition.
func ErrorOf(s *Stanza) (*Error, bool) {
	if s.Type != TypeError {
		return nil, false
	}
	el, ok := s.Child("", "error")
	if !ok {
		return nil, false
	}
	e := &Error{Type: ErrorType(el.Attr("type")), Condition: UndefinedCondition}
	if by, err := jid.Parse(el.Attr("by")); err == nil {
		e.By = by
	}
	for i := range el.Children {
		c := &el.Children[i]
		switch {
		case c.Name.Space != stanzaErrors:
			if e.App == "" {
				e.App = c.XML()
			}
		case c.Name.Local == "text":
			e.Text = c.Text
		default:
			e.Condition, e.Instead = Condition(c.Name.Local), c.Text
		}
	}
	switch e.Type {
	case Auth, Cancel, Continue, Modify, Wait:
	default:
		e.Type = usualType(e.Condition)
	}
	return e, true
}

// StreamError is fatal for its stream (RFC 6120 §4.9).
type StreamError struct {
	Condition string // e.g. "policy-violation"
	Text      string
	App       string // optional application element, raw XML
	Err       error
}

func (e *StreamError) Error() string {
	return describe("stream error "+e.Condition, e.Text, e.Err)
}

// Unwrap returns the cause that is logged.
func (e *StreamError) Unwrap() error { return e.Err }

// XML is the <stream:error/> element, for a stream whose header binds the
// prefix stream.
func (e *StreamError) XML() string {
	cond := e.Condition
	if cond == "" {
		cond = "undefined-condition"
	}
	var w xmlstream.Writer
	w.Start("", "stream:error").Leaf(streamErrors, cond, "")
	if e.Text != "" {
		w.Leaf(streamErrors, "text", e.Text, "xml:lang", "en")
	}
	return w.Raw(e.App).End().String()
}

// StreamErrorOf reads a <stream:error/> token; ok false when it is none.
func StreamErrorOf(t *xmlstream.Token) (*StreamError, bool) {
	if t.Kind != xmlstream.Element || t.Name != (Name{Space: streamSpace, Local: "error"}) {
		return nil, false
	}
	children, err := xmlstream.ParseTree(string(t.Inner), string(t.Decls), t.Content)
	if err != nil {
		return nil, false // not reached: the reader has checked it
	}
	e := &StreamError{Condition: "undefined-condition"}
	for i := range children {
		c := &children[i]
		switch {
		case c.Name.Space != streamErrors:
			e.App = strings.TrimSpace(c.XML())
		case c.Name.Local == "text":
			e.Text = c.Text
		default:
			e.Condition = c.Name.Local
		}
	}
	return e, true
}

// ErrorReply builds the error answer (RFC 6120 §8.3): type error, addresses swapped, id kept, sender's payload not
// repeated. nil when s is itself an error or an IQ result, which are never answered (§8.3.1).
func (s *Stanza) ErrorReply(e *Error) *Stanza {
	if s.Type == TypeError || s.Kind == IQ && s.Type == string(Result) {
		return nil
	}
	return New(s.Kind, TypeError, s.ID, s.To, s.From, e.XML())
}
