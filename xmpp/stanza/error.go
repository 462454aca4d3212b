package stanza

import "doorway/xmpp/jid"

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
	App       string // optional application-specific element, raw XML with its xmlns
	By        jid.JID
	Err       error
}

// NewError gives the condition its usual type (reference: RFC 6120 §8.3.3).
func NewError(c Condition, text string) *Error { panic("skeleton") }

func (e *Error) Error() string { panic("skeleton") }
func (e *Error) Unwrap() error { return e.Err }

// XML is the <error/> element.
func (e *Error) XML() string { panic("skeleton") }

// ErrorOf parses the <error/> of a stanza of type error; ok false without one.
func ErrorOf(s *Stanza) (*Error, bool) { panic("skeleton") }

// StreamError is fatal for its stream (RFC 6120 §4.9).
type StreamError struct {
	Condition string // e.g. "policy-violation"
	Text      string
	App       string // optional application element, raw XML
	Err       error
}

func (e *StreamError) Error() string { panic("skeleton") }
func (e *StreamError) Unwrap() error { return e.Err }

// XML is the <stream:error/> element.
func (e *StreamError) XML() string { panic("skeleton") }
