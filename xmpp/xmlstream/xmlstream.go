// Package xmlstream cuts an XMPP stream (RFC 6120 §4, §11) into whole
// top-level elements and writes XML.
//
// The reader is strict and bounded: it refuses what RFC 6120 §11.1 forbids
// (comments, processing instructions, DTDs, custom entities) and everything
// that is not namespace-well-formed (XML 1.0, fifth edition; Namespaces in
// XML 1.0), while the bytes arrive, and it never holds more than the limits
// allow. It copies nothing: what Next returns points into the reader's buffer
// and is valid until the next call.
//
// One scanner (scan.go, names.go) serves the stream, single elements (Parse)
// and small trees (ParseTree), so that all three are equally strict.
//
// Left out: DTDs and validation, encodings other than UTF-8, XML 1.1.
//
// The package starts no goroutine. A Reader belongs to one goroutine.
package xmlstream

import "strconv"

// Name is an expanded XML name: namespace and local part.
type Name struct{ Space, Local string }

// Kind says what a Token is.
type Kind uint8

// The kinds of token a stream consists of.
const (
	StreamOpen  Kind = iota + 1 // the root's start tag (RFC 6120 §4.2)
	Element                     // one complete child of the root
	StreamClose                 // the root's end tag
)

// Token is one unit cut from a stream. All byte slices point into the
// Reader's buffer and are valid until the next call of Next or Ready; the
// strings may be kept.
type Token struct {
	Kind  Kind
	Name  Name   // expanded name of the element or of the root
	Attrs []Attr // attributes of its start tag, without xmlns declarations
	// Prefix is the prefix the element's name was written with. RFC 6120
	// §4.8.5: the root's should be "stream".
	Prefix string
	// Content is the stream's content namespace (RFC 6120 §4.8.2): the
	// default namespace the root's start tag declares, "" when none.
	Content string
	// Decls holds the prefix declarations (" xmlns:p='uri'…", each led by one
	// space) that the inner bytes need: those of the start tag itself and
	// those of the root that are used inside. Never a default namespace.
	Decls []byte
	// Inner holds the verbatim bytes between start and end tag. A default
	// namespace declared on the start tag that is not a content namespace
	// is visible in Name.Space only; the children that
	// inherit it are re-rooted so that Inner means the same under any of
	// jabber:client, jabber:server, jabber:component:accept.
	Inner []byte
	// Payload is the name of the first child element and Children their count.
	Payload  Name
	Children int
	// Raw is the whole element, tags included.
	Raw []byte
}

// Attr returns the value of the attribute without a namespace, nil when absent.
func (t *Token) Attr(local string) []byte {
	for i := range t.Attrs {
		if a := &t.Attrs[i]; a.Name.Local == local && a.Name.Space == "" {
			return a.Value
		}
	}
	return nil
}

// Offset tells where in Raw the slice b of this token lies, so that a copy of
// Raw can stand for it. ok is false when b was rewritten (an attribute with
// an entity, a re-rooted Inner) and lies elsewhere.
func (t *Token) Offset(b []byte) (off int, ok bool) {
	if len(b) == 0 {
		return 0, false
	}
	off = cap(t.Raw) - cap(b) // slices of one buffer share its end
	if off < 0 || off+len(b) > len(t.Raw) || &t.Raw[off] != &b[0] {
		return 0, false
	}
	return off, true
}

// Attr is one attribute with its value unescaped and white space normalized
// (XML 1.0 §3.3.3).
type Attr struct {
	Name  Name
	Value []byte
}

// Limits bounds what a Reader accepts. Zero fields mean the defaults of
// DefaultLimits.
type Limits struct {
	Bytes int // one element, tags included
	Depth int // open elements below the root
	Attrs int // attributes of one element
	Name  int // bytes of one qualified name
}

// DefaultLimits is what a stream may send after authentication: 256 KiB,
// depth 64, 32 attributes, names of 256 bytes. PreAuthLimits is the same with
// 10 KiB (RFC 6120 §13.12 forbids less than 10,000 bytes).
var (
	DefaultLimits = Limits{Bytes: 256 << 10, Depth: 64, Attrs: 32, Name: 256}
	PreAuthLimits = Limits{Bytes: 10 << 10, Depth: 64, Attrs: 32, Name: 256}
)

// trustedLimits bound what comes from our own store and builders: a stanza
// that was accepted may have been wrapped a few times since.
var trustedLimits = Limits{Bytes: 1 << 30, Depth: 128, Attrs: 64, Name: 256}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.Bytes, DefaultLimits.Bytes)
	set(&l.Depth, DefaultLimits.Depth)
	set(&l.Attrs, DefaultLimits.Attrs)
	set(&l.Name, DefaultLimits.Name)
	return l
}

// SyntaxError is a fatal fault of the stream. Condition is the stream error
// to answer with (RFC 6120 §4.9.3): not-well-formed, restricted-xml,
// unsupported-encoding, policy-violation, invalid-xml.
type SyntaxError struct {
	Condition string
	Detail    string // for the log
	Offset    int64  // bytes since the stream's start
}

func (e *SyntaxError) Error() string {
	return e.Condition + ": " + e.Detail + " at byte " + strconv.FormatInt(e.Offset, 10)
}

// Stream error conditions of a SyntaxError.
const (
	notWellFormed       = "not-well-formed"      // RFC 6120 §4.9.3.13
	restrictedXML       = "restricted-xml"       // RFC 6120 §4.9.3.18
	unsupportedEncoding = "unsupported-encoding" // RFC 6120 §4.9.3.22
	policyViolation     = "policy-violation"     // RFC 6120 §4.9.3.14
	invalidXML          = "invalid-xml"          // RFC 6120 §4.9.3.9
)

func fault(condition, detail string) error {
	return &SyntaxError{Condition: condition, Detail: detail}
}
