package xmlstream

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// AppendEscaped appends s with the five predefined entities escaped;
// characters that XML 1.0 forbids become U+FFFD, a carriage return a reference.
// Safe in text and attributes (where a reader turns line feeds and tabs into
// blanks, XML 1.0 §3.3.3).
func AppendEscaped(dst []byte, s string) []byte { return appendEscaped(dst, s, false) }

// AppendAttr appends " name='value'" with the value escaped so that a reader
// gets it back unchanged.
func AppendAttr(dst []byte, name, value string) []byte {
	dst = append(append(append(dst, ' '), name...), '=', '\'')
	return append(appendEscaped(dst, value, true), '\'')
}

// AppendValue appends an attribute's value, without quotes, escaped so that a
// reader gets it back unchanged.
func AppendValue(dst []byte, value string) []byte {
	// Most values need no escaping and fit: they are copied eight bytes at a
	// time and looked at meanwhile. What was copied in vain lies beyond dst.
	n, size := len(dst), len(value)
	if size < 8 || cap(dst)-n < size {
		return appendEscaped(dst, value, true)
	}
	room := dst[n : n+size]
	marks := uint64(0)
	for i := 0; i+8 <= size; i += 8 {
		w := word(value[i : i+8])
		marks |= markOutput(w)
		binary.LittleEndian.PutUint64(room[i:i+8], w)
	}
	w := word(value[size-8:]) // the rest, with some of what went before
	binary.LittleEndian.PutUint64(room[size-8:], w)
	if (marks|markOutput(w))&highs != 0 {
		return appendEscaped(dst, value, true)
	}
	return dst[:n+size]
}

// appendEscaped keeps line feeds and tabs of an attribute's value as references.
func appendEscaped(dst []byte, s string, value bool) []byte {
	from := 0
	for i := 0; ; {
		if i = skipOutput(s, i); i == len(s) {
			return append(dst, s[from:]...)
		}
		c := s[i]
		n, entity := 1, ""
		switch {
		case c == '<':
			entity = "&lt;"
		case c == '>':
			entity = "&gt;"
		case c == '&':
			entity = "&amp;"
		case c == '\'':
			entity = "&apos;"
		case c == '"':
			entity = "&quot;"
		case c == '\r':
			entity = "&#13;"
		case c == '\n' && value:
			entity = "&#10;"
		case c == '\t' && value:
			entity = "&#9;"
		case c == '\n', c == '\t':
		case c < 0x80:
			entity = "\uFFFD"
		default:
			var r rune
			if r, n = utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && n <= 1 || !isChar(r) {
				entity = "\uFFFD"
			}
		}
		if entity != "" {
			dst = append(append(dst, s[from:i]...), entity...)
			from = i + n
		}
		i += n
	}
}

// Escaped is AppendEscaped as a string; s itself when nothing needs escaping.
func Escaped(s string) string {
	for i := 0; ; i++ {
		if i = skipOutput(s, i); i == len(s) {
			return s
		}
		if s[i] != '\n' && s[i] != '\t' {
			return string(AppendEscaped(make([]byte, 0, len(s)+16), s))
		}
	}
}

// Writer builds XML. The zero value is ready. Misuse (an End too many) panics
// in tests by way of Bytes.
type Writer struct {
	b     []byte
	open  []opened
	inTag bool // the innermost start tag still lacks its '>'
	wrong bool // End without Start
}

// opened is an element that has not ended: the default namespace inside it
// and where its name stands.
type opened struct {
	space    string
	from, to int
}

// Start opens an element; space "" inherits. attrs are name, value pairs; a
// pair with an empty value is left out.
func (w *Writer) Start(space, local string, attrs ...string) *Writer {
	w.closeTag()
	w.b = append(w.b, '<')
	from := len(w.b)
	w.b = append(w.b, local...)
	o := opened{space: space, from: from, to: len(w.b)}
	inherited := ""
	if n := len(w.open); n > 0 {
		inherited = w.open[n-1].space
	}
	if space == "" {
		o.space = inherited
	} else if space != inherited {
		w.b = AppendAttr(w.b, "xmlns", space)
	}
	for i := 0; i+1 < len(attrs); i += 2 {
		if attrs[i+1] != "" {
			w.b = AppendAttr(w.b, attrs[i], attrs[i+1])
		}
	}
	w.open = append(w.open, o)
	w.inTag = true
	return w
}

func (w *Writer) closeTag() {
	if w.inTag {
		w.b = append(w.b, '>')
		w.inTag = false
	}
}

// Text adds escaped character data.
func (w *Writer) Text(s string) *Writer {
	if s != "" {
		w.closeTag()
		w.b = AppendEscaped(w.b, s)
	}
	return w
}

// Raw adds bytes that are known to be well-formed.
func (w *Writer) Raw(s string) *Writer {
	if s != "" {
		w.closeTag()
		w.b = append(w.b, s...)
	}
	return w
}

// End closes the innermost open element (self-closing when it is empty).
func (w *Writer) End() *Writer {
	n := len(w.open) - 1
	if n < 0 {
		w.wrong = true
		return w
	}
	o := w.open[n]
	w.open = w.open[:n]
	if w.inTag {
		w.b = append(w.b, '/', '>')
		w.inTag = false
		return w
	}
	w.b = append(w.b, '<', '/')
	w.b = append(w.b, w.b[o.from:o.to]...)
	w.b = append(w.b, '>')
	return w
}

// Leaf is Start, Text, End.
func (w *Writer) Leaf(space, local, text string, attrs ...string) *Writer {
	return w.Start(space, local, attrs...).Text(text).End()
}

// String returns what was written; every element must be closed. Those that
// are not are closed first.
func (w *Writer) String() string {
	for len(w.open) > 0 {
		w.End()
	}
	return string(w.b)
}

// Bytes returns what was written, valid until the next call. It panics when
// an element is open or End was called too often: for tests of builders.
func (w *Writer) Bytes() []byte {
	if w.wrong || len(w.open) > 0 {
		panic("xmlstream: Start and End do not match in " + strings.ToValidUTF8(string(w.b), "?"))
	}
	return w.b
}
