package xmlstream

import "bytes"

// state is where in the grammar the scanner stands between two bytes.
type state uint8

const (
	inText   state = iota // character data
	atMarkup              // after '<'
	inName                // name of a start tag or an attribute
	inTag                 // between attributes
	atEquals              // before its '='
	atQuote               // before its opening quote
	inValue               // value of an attribute
	atSlash               // after the '/' of an empty element
	inEnd                 // name of an end tag
	afterEnd              // after that name
	inBang                // after "<!"
	inCData               // CDATA section
	inQuery               // after "<?"
)

// span is a range of the element's bytes.
type span struct{ from, to int32 }

func (s span) of(el []byte) []byte { return el[s.from:s.to] }

// frame is an open element.
type frame struct {
	name  span
	binds int32 // declarations in force before it
}

// attr is an attribute of the start tag being read.
type attr struct {
	name, value span
	colon       int32 // offset of the colon in the name, 0 for none
	escaped     bool  // the value has references or white space to normalize
	declares    bool  // it is a namespace declaration
}

// scanner reads one element, or one tag of the root. All positions count from
// the element's first byte, so that the bytes may move between calls. It
// stops anywhere and goes on there: nothing is looked at twice but the few
// bytes of a character, a reference or the start of a CDATA section that are
// incomplete.
type scanner struct {
	lim   Limits
	root  *root
	tree  *builder // gathers the element, when not nil
	names interner

	progress
	stack    []frame
	binds    []binding
	attrs    []attr // of the start tag being read
	topAttrs []attr // of the element's own, without declarations
	out      []Attr // the same for the token
	reroot   []int  // ends of the child names that need an xmlns
	scratch  []byte
}

// progress is where the scanner stands in one element.
type progress struct {
	rootTag  bool // this is to be a start tag of the root, not a whole element
	declared bool // "<?xml …?>" may stand here

	state   state
	quote   byte
	escaped bool // the value being read has references or white space
	spaced  bool // white space since the last name or value
	pos     int
	mark    int   // first byte of the markup, name, value or text being read
	colon   int   // in the name being read
	attr    bool  // that name is an attribute's
	tag     span  // name of the start tag being read
	tagCol  int32 // colon in it

	used      uint64 // declarations of the root that were used
	head      head
	innerFrom int
	innerTo   int
	empty     bool // the element was written <a/>
	closing   bool // it was the root's end tag
	isDecl    bool // it was an XML declaration
}

// reset prepares for the next element.
func (s *scanner) reset(lim Limits, rt *root) {
	s.lim, s.root, s.tree = lim, rt, nil
	s.progress = progress{}
	clear(s.out) // they refer to the buffer
	s.stack, s.binds, s.attrs = s.stack[:0], s.binds[:0], s.attrs[:0]
	s.topAttrs, s.out = s.topAttrs[:0], s.out[:0]
	s.reroot, s.scratch = s.reroot[:0], s.scratch[:0]
	if cap(s.scratch) > 16<<10 {
		s.scratch = nil
	}
}

// declares reports the name of a namespace declaration.
func declares(name []byte) bool {
	return len(name) >= 5 && string(name[:5]) == "xmlns" && (len(name) == 5 || name[5] == ':')
}

// scan reads on in el, which holds the element from its first byte. It
// returns true when the element is complete; s.pos is then its length.
//
// Each label is a state: the code runs on from one to the next while there are
// bytes, and leaves by more with the state to come back to.
func (s *scanner) scan(el []byte) (done bool, err error) {
	var (
		p, n = s.pos, len(el)
		size int
		a    *attr
	)
	switch s.state {
	case inText:
		goto text
	case atMarkup:
		goto markup
	case inName:
		goto name
	case inTag:
		goto inside
	case atSlash:
		goto slash
	case atEquals:
		goto equals
	case atQuote:
		goto quote
	case inValue:
		goto value
	default:
		goto rare
	}

text:
	p = skipText(el, p)
	if p == n {
		s.state = inText
		goto more
	}
	if el[p] != '<' {
		size, err = special(el, p)
		p += size
		if err != nil || size == 0 {
			s.state = inText
			goto more
		}
		goto text
	}
	if s.tree != nil && p > s.mark {
		s.tree.text(el, s.mark, p, false)
	}
	s.mark = p
	p++

markup:
	if p == n {
		s.state = atMarkup
		goto more
	}
	switch el[p] {
	case '/':
		s.innerTo = s.mark
		p++
		if size = s.closes(el, p); size > 0 {
			p += size
			if s.pos = p; s.pop() {
				return true, nil
			}
			s.mark = p
			goto text
		}
		s.mark, s.state = p, inEnd
		goto rare
	case '!':
		s.state = inBang
		goto rare
	case '?':
		s.state = inQuery
		goto rare
	}
	if len(s.stack) >= s.lim.Depth {
		err = fault(policyViolation, "elements nested too deep")
		goto more
	}
	s.attrs = s.attrs[:0]
	s.mark, s.colon, s.attr = p, 0, false

name: // of a start tag or an attribute
	for p < n && class[el[p]]&nameByte != 0 {
		p++
	}
	if p == n || el[p] == ':' || el[p] >= 0x80 {
		size, err = s.unusual(el, p)
		p += size
		if err != nil || size == 0 {
			s.state = inName
			goto more
		}
		goto name
	}
	if class[el[s.mark]]&nameStart == 0 || s.colon != 0 || p-s.mark > s.lim.Name {
		if err = s.checkName(el[s.mark:p]); err != nil {
			goto more
		}
	}
	if s.attr {
		s.attrs = append(s.attrs, attr{name: span{int32(s.mark), int32(p)}, colon: int32(s.colon), declares: declares(el[s.mark:p])})
		goto equals
	}
	s.tag, s.tagCol = span{int32(s.mark), int32(p)}, int32(s.colon)
	s.spaced = false

inside: // a start tag, between attributes
	for p < n && class[el[p]]&whiteSpace != 0 {
		s.spaced = true
		p++
	}
	if p == n {
		s.state = inTag
		goto more
	}
	switch {
	case el[p] == '>':
		p++
		goto opened
	case el[p] == '/':
		p++
		goto slash
	case !s.spaced:
		err = fault(notWellFormed, "no white space before an attribute")
		goto more
	case len(s.attrs) >= s.lim.Attrs:
		err = fault(policyViolation, "too many attributes")
		goto more
	}
	s.mark, s.colon, s.attr = p, 0, true
	goto name

equals:
	for p < n && class[el[p]]&whiteSpace != 0 {
		p++
	}
	if p == n {
		s.state = atEquals
		goto more
	}
	if el[p] != '=' {
		err = fault(notWellFormed, "an attribute without a value")
		goto more
	}
	p++

quote:
	for p < n && class[el[p]]&whiteSpace != 0 {
		p++
	}
	if p == n {
		s.state = atQuote
		goto more
	}
	if s.quote = el[p]; s.quote != '\'' && s.quote != '"' {
		err = fault(notWellFormed, "an attribute without a quoted value")
		goto more
	}
	p++
	s.mark, s.escaped = p, false

value:
	p = skipValue(el, p)
	if p == n {
		s.state = inValue
		goto more
	}
	if el[p] != s.quote {
		size, err = s.specialInValue(el, p)
		p += size
		if err != nil || size == 0 {
			s.state = inValue
			goto more
		}
		goto value
	}
	a = &s.attrs[len(s.attrs)-1]
	a.value, a.escaped = span{int32(s.mark), int32(p)}, s.escaped
	p++
	s.spaced = false
	goto inside

slash: // of an empty element
	if p == n {
		s.state = atSlash
		goto more
	}
	if el[p] != '>' {
		err = fault(notWellFormed, "a slash inside a tag")
		goto more
	}
	p++

opened: // a start tag is complete
	s.pos = p
	s.mark, s.state = p, inText
	if done, err = s.startTag(el, el[p-2] == '/'); done || err != nil {
		return done, err
	}
	goto text

rare:
	s.pos = p
	switch s.state {
	case inEnd, afterEnd:
		done, err = s.end(el)
	case inBang:
		err = s.bang(el)
	case inCData:
		err = s.cdata(el)
	case inQuery:
		done, err = s.query(el)
	}
	if done || err != nil {
		return done, err
	}
	p = s.pos
	if s.state == inText {
		goto text
	}
	return false, nil

more: // bytes, or an error
	s.pos = p
	return false, err
}

// special handles a byte of character data that is not plain: it returns how
// many bytes it is good for, 0 when more are needed.
func special(el []byte, p int) (size int, err error) {
	c := el[p]
	switch {
	case c == '&':
		_, size, err = reference(el[p:])
	case c == '>':
		if p >= 2 && el[p-1] == ']' && el[p-2] == ']' {
			return 0, fault(notWellFormed, "]]> in text") // XML 1.0 §2.4
		}
		size = 1
	case c >= 0x80:
		_, size, err = multibyte(el[p:])
	default:
		err = fault(notWellFormed, "a control character")
	}
	return size, err
}

// specialInValue is special for an attribute's value.
func (s *scanner) specialInValue(el []byte, p int) (size int, err error) {
	c := el[p]
	switch {
	case c == '\'' || c == '"':
		size = 1
	case class[c]&whiteSpace != 0:
		s.escaped = true
		size = 1
	case c == '&':
		s.escaped = true
		_, size, err = reference(el[p:])
	case c >= 0x80:
		_, size, err = multibyte(el[p:])
	default:
		err = fault(notWellFormed, "a character that an attribute cannot have")
	}
	return size, err
}

// unusual handles the end of the bytes and what is not a plain byte in a name.
func (s *scanner) unusual(el []byte, p int) (size int, err error) {
	switch {
	case p-s.mark > s.lim.Name:
		return 0, fault(policyViolation, "a name that is too long")
	case p == len(el):
		return 0, nil
	case el[p] == ':':
		if s.colon != 0 || p == s.mark {
			return 0, fault(notWellFormed, "a name with a misplaced colon")
		}
		s.colon = p - s.mark
		return 1, nil
	}
	r, size, err := multibyte(el[p:])
	if size > 0 && !isNameChar(r) {
		return 0, fault(notWellFormed, "a character that a name cannot have")
	}
	return size, err
}

// checkName looks at a complete name.
func (s *scanner) checkName(name []byte) error {
	switch {
	case len(name) > s.lim.Name:
		return fault(policyViolation, "a name that is too long")
	case !startsName(name), s.colon != 0 && !startsName(name[s.colon+1:]):
		return fault(notWellFormed, "a name that does not start with a letter")
	}
	return nil
}

func startsName(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	if b[0] < 0x80 {
		return class[b[0]]&nameStart != 0
	}
	r, n, err := multibyte(b)
	return n > 0 && err == nil && isNameStart(r)
}

// closes reports an end tag of the innermost element at el[p], after "</",
// when it stands there whole and without white space: its length.
func (s *scanner) closes(el []byte, p int) int {
	if len(s.stack) == 0 {
		return 0
	}
	name := s.stack[len(s.stack)-1].name
	to := p + int(name.to-name.from)
	if to < len(el) && el[to] == '>' && bytes.Equal(name.of(el), el[p:to]) {
		return to + 1 - p
	}
	return 0
}

// pop closes the innermost element and reports whether it was the last.
func (s *scanner) pop() (last bool) {
	n := len(s.stack) - 1
	if s.tree != nil {
		s.tree.end(s.pos)
	}
	s.binds = s.binds[:s.stack[n].binds]
	s.stack = s.stack[:n]
	return n == 0
}

// end reads an end tag after "</", wherever it is cut.
func (s *scanner) end(el []byte) (done bool, err error) {
	p := s.pos
	want := s.root.qname // of the root
	if n := len(s.stack); n > 0 {
		want = string(s.stack[n-1].name.of(el))
	} else if want == "" {
		return false, fault(notWellFormed, "an end tag without a start tag")
	}
	if s.state == inEnd {
		for p < len(el) && el[p] != '>' && class[el[p]]&whiteSpace == 0 {
			p++
		}
		s.pos = p
		got := el[s.mark:p]
		switch {
		case len(got) > len(want) || string(got) != want[:len(got)]:
			return false, fault(notWellFormed, "an end tag that does not match")
		case p == len(el):
			return false, nil
		case len(got) < len(want):
			return false, fault(notWellFormed, "an end tag that does not match")
		}
		s.state = afterEnd
	}
	for p < len(el) && class[el[p]]&whiteSpace != 0 {
		p++
	}
	s.pos = p
	if p == len(el) {
		return false, nil
	}
	if el[p] != '>' {
		return false, fault(notWellFormed, "an end tag with more than a name")
	}
	s.pos++
	s.mark, s.state = s.pos, inText
	if len(s.stack) == 0 {
		s.closing = true
		return true, nil
	}
	return s.pop(), nil
}

const cdataStart = "<![CDATA["

// bang reads "<!…": a CDATA section, or what RFC 6120 §11.1 forbids.
func (s *scanner) bang(el []byte) error {
	b := el[s.mark:]
	if len(b) < 3 {
		return nil
	}
	if b[2] != '[' {
		return fault(restrictedXML, "a comment or a document type") // RFC 6120 §11.1
	}
	if len(s.stack) == 0 {
		return fault(s.strayText(), "a CDATA section between stanzas")
	}
	if len(b) < len(cdataStart) {
		if string(b) != cdataStart[:len(b)] {
			return fault(notWellFormed, "malformed markup")
		}
		return nil
	}
	if string(b[:len(cdataStart)]) != cdataStart {
		return fault(notWellFormed, "malformed markup")
	}
	s.pos = s.mark + len(cdataStart)
	s.mark, s.state = s.pos, inCData
	return s.cdata(el)
}

// cdata reads a CDATA section to its end.
func (s *scanner) cdata(el []byte) error {
	p := s.pos
	for p < len(el) {
		c := el[p]
		switch {
		case c == '>' && p >= s.mark+2 && el[p-1] == ']' && el[p-2] == ']':
			if s.tree != nil {
				s.tree.text(el, s.mark, p-2, true)
			}
			s.pos = p + 1
			s.mark, s.state = s.pos, inText
			return nil
		case c >= 0x80:
			s.pos = p
			_, n, err := multibyte(el[p:])
			if n == 0 || err != nil {
				return err
			}
			p += n
		case c < 0x20 && class[c]&whiteSpace == 0:
			s.pos = p
			return fault(notWellFormed, "a control character")
		default:
			p++
		}
	}
	s.pos = p
	return nil
}

// strayText is the condition for text outside stanzas.
func (s *scanner) strayText() string {
	if s.rootTag {
		return notWellFormed
	}
	return invalidXML
}
