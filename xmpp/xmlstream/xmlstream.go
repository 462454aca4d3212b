// Package xmlstream cuts an XMPP stream (RFC 6120 §4, §11) into whole
// top-level elements and writes XML.
//
// The reader is strict and bounded: it refuses what RFC 6120 §11.1 forbids
// (comments, processing instructions, DTDs, custom entities) and everything
// that is not namespace-well-formed, while the bytes arrive, and it never
// holds more than the limits allow. It copies nothing: what Next returns
// points into the reader's buffer and is valid until the next call.
//
// The package starts no goroutine. A Reader belongs to one goroutine.
package xmlstream

import "io"

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
// Reader's buffer and are valid until the next call of Next.
type Token struct {
	Kind  Kind
	Name  Name   // expanded name of the element or of the root
	Attrs []Attr // attributes of its start tag, without xmlns declarations
	// Decls holds the prefix declarations (" xmlns:p='uri'…", each led by one
	// space) that the inner bytes need: those of the start tag itself and
	// those of the root that are used inside. Never a default namespace.
	Decls []byte
	// Inner holds the verbatim bytes between start and end tag. A default
	// namespace declared on the start tag that differs from the stream's
	// content namespace is visible in Name.Space only; the children that
	// inherit it are re-rooted so that Inner means the same under any of
	// jabber:client, jabber:server, jabber:component:accept.
	Inner []byte
	// Payload is the name of the first child element and Children their count.
	Payload  Name
	Children int
	// Raw is the whole element, tags included.
	Raw []byte
}

// Attr is one attribute with its value unescaped.
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

// SyntaxError is a fatal fault of the stream. Condition is the stream error
// to answer with (RFC 6120 §4.9.3): not-well-formed, restricted-xml,
// unsupported-encoding, policy-violation, invalid-xml, bad-namespace-prefix.
type SyntaxError struct {
	Condition string
	Detail    string // for the log
	Offset    int64  // bytes since the stream's start
}

func (e *SyntaxError) Error() string { return e.Condition + ": " + e.Detail }

// Reader cuts tokens from a byte stream. While it waits for the first byte of
// a token it holds no more than 512 bytes; larger buffers are borrowed from a
// pool and given back when the token that needed them has been consumed.
type Reader struct{}

// NewReader reads from r. It calls r.Read only when no complete token is buffered.
func NewReader(r io.Reader, lim Limits) *Reader { panic("skeleton") }

// Next returns the next token. io.EOF means the input ended between tokens
// without a root end tag; io.ErrUnexpectedEOF inside one; *SyntaxError is
// fatal; other errors are those of the input (a deadline error is resumable:
// call Next again).
func (r *Reader) Next() (Token, error) { panic("skeleton") }

// Ready reports whether a complete token is buffered, so that Next would not read.
func (r *Reader) Ready() bool { panic("skeleton") }

// Restart forgets the stream, and discards what is buffered, for a stream
// restart after STARTTLS or SASL (RFC 6120 §4.3.3); in is the new input.
func (r *Reader) Restart(in io.Reader, lim Limits) { panic("skeleton") }

// Parse reads one complete element (a WebSocket frame, a stored stanza).
// content is the default namespace the bytes stand in, e.g. jabber:client.
func Parse(b []byte, content string, lim Limits) (Token, error) { panic("skeleton") }

// Tree is a small parsed element; strings are unescaped.
type Tree struct {
	Name     Name
	Attrs    []TreeAttr
	Children []Tree
	Text     string // the concatenated character data directly inside
}

// TreeAttr is an attribute of a Tree.
type TreeAttr struct {
	Name  Name
	Value string
}

// Attr returns the value of the un-namespaced attribute, "" when absent.
func (t *Tree) Attr(local string) string { panic("skeleton") }

// Child returns the first child with that name, nil when absent; space "" matches the parent's own namespace.
func (t *Tree) Child(space, local string) *Tree { panic("skeleton") }

// ParseTree parses the inner bytes of an element into its children. content
// is the namespace of un-prefixed names without an xmlns of their own; decls
// are prefix declarations in force.
func ParseTree(inner, decls, content string) ([]Tree, error) { panic("skeleton") }

// AppendEscaped appends s with the five predefined entities escaped;
// characters that XML 1.0 forbids become U+FFFD. Safe in text and attributes.
func AppendEscaped(dst []byte, s string) []byte { panic("skeleton") }

// Escaped is AppendEscaped as a string; s itself when nothing needs escaping.
func Escaped(s string) string { panic("skeleton") }

// Writer builds XML. The zero value is ready. Misuse (an End too many) panics
// in tests by way of Bytes.
type Writer struct{}

// Start opens an element; space "" inherits. attrs are name, value pairs; a
// pair with an empty value is left out.
func (w *Writer) Start(space, local string, attrs ...string) *Writer { panic("skeleton") }

// Text adds escaped character data.
func (w *Writer) Text(s string) *Writer { panic("skeleton") }

// Raw adds bytes that are known to be well-formed.
func (w *Writer) Raw(s string) *Writer { panic("skeleton") }

// End closes the innermost open element (self-closing when it is empty).
func (w *Writer) End() *Writer { panic("skeleton") }

// Leaf is Start, Text, End.
func (w *Writer) Leaf(space, local, text string, attrs ...string) *Writer { panic("skeleton") }

// String returns what was written; every element must be closed.
func (w *Writer) String() string { panic("skeleton") }
