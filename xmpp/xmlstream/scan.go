package xmlstream

import "bytes"

// state is where in the grammar the scanner stands between two bytes.
type state uint8

const (
	inText   state = iota // character data
	atMarkup              // after '<'
	inName                // name of a start tag
	inTag                 // between attributes
	inAttr                // name of an attribute
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

// scan reads on in el, which holds the element from its first byte. It
// returns true when the element is complete; s.pos is then its length.
func (s *scanner) scan(el []byte) (done bool, err error) {
	for s.pos < len(el) {
		before, was := s.pos, s.state
		switch s.state {
		case inText:
			err = s.text(el)
		case atMarkup:
			err = s.markup(el)
		case inName, inAttr:
			err = s.name(el)
		case inTag, atSlash:
			done, err = s.inside(el)
		case atEquals, atQuote:
			err = s.equals(el)
		case inValue:
			err = s.value(el)
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
		if s.pos == before && s.state == was {
			return false, nil // an incomplete character or keyword
		}
	}
	return false, nil
}

// text reads character data up to the next markup.
func (s *scanner) text(el []byte) error {
	p := s.pos
	for p < len(el) {
		c := el[p]
		if class[c]&plainText != 0 {
			p++
			continue
		}
		switch {
		case c == '<':
			if s.tree != nil && p > s.mark {
				s.tree.text(el, s.mark, p, false)
			}
			s.mark, s.pos, s.state = p, p+1, atMarkup
			return nil
		case c == '&':
			s.pos = p
			_, n, err := reference(el[p:])
			if n == 0 || err != nil {
				return err
			}
			p += n
		case c == '>':
			if p >= 2 && el[p-1] == ']' && el[p-2] == ']' {
				return fault(notWellFormed, "]]> in text") // XML 1.0 §2.4
			}
			p++
		case c >= 0x80:
			s.pos = p
			_, n, err := multibyte(el[p:])
			if n == 0 || err != nil {
				return err
			}
			p += n
		default:
			s.pos = p
			return fault(notWellFormed, "a control character")
		}
	}
	s.pos = p
	return nil
}

// markup decides what the byte after '<' starts.
func (s *scanner) markup(el []byte) error {
	switch el[s.pos] {
	case '/':
		s.pos++
		s.innerTo = s.mark
		s.mark, s.state = s.pos, inEnd
	case '!':
		s.state = inBang
	case '?':
		s.state = inQuery
	default:
		if len(s.stack) >= s.lim.Depth {
			return fault(policyViolation, "elements nested too deep")
		}
		s.mark, s.colon, s.state = s.pos, 0, inName
		s.attrs = s.attrs[:0]
	}
	return nil
}

// name reads the name of a start tag or an attribute.
func (s *scanner) name(el []byte) error {
	p := s.pos
	for {
		for p < len(el) && class[el[p]]&nameByte != 0 {
			p++
		}
		s.pos = p
		if p-s.mark > s.lim.Name {
			return fault(policyViolation, "a name that is too long")
		}
		if p == len(el) {
			return nil
		}
		if el[p] == ':' {
			if s.colon != 0 || p == s.mark {
				return fault(notWellFormed, "a name with a misplaced colon")
			}
			s.colon = p - s.mark
			p++
			continue
		}
		if el[p] < 0x80 {
			break
		}
		r, n, err := multibyte(el[p:])
		if n == 0 || err != nil {
			return err
		}
		if !isNameChar(r) {
			return fault(notWellFormed, "a character that a name cannot have")
		}
		p += n
	}
	if !startsName(el[s.mark:p]) || s.colon != 0 && !startsName(el[s.mark+s.colon+1:p]) {
		return fault(notWellFormed, "a name that does not start with a letter")
	}
	whole := span{int32(s.mark), int32(p)}
	if s.state == inName {
		s.tag, s.tagCol = whole, int32(s.colon)
		s.state, s.spaced = inTag, false
		return nil
	}
	s.attrs = append(s.attrs, attr{name: whole, colon: int32(s.colon)})
	s.state = atEquals
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

// inside reads between the attributes of a start tag, to its end.
func (s *scanner) inside(el []byte) (done bool, err error) {
	p := s.pos
	if s.state == inTag {
		for p < len(el) && class[el[p]]&whiteSpace != 0 {
			s.spaced = true
			p++
		}
		s.pos = p
		if p == len(el) {
			return false, nil
		}
	}
	c := el[p]
	switch {
	case c == '>':
		s.pos++
		empty := s.state == atSlash
		s.mark, s.state = s.pos, inText
		return s.startTag(el, empty)
	case s.state == atSlash:
		return false, fault(notWellFormed, "a slash inside a tag")
	case c == '/':
		s.pos++
		s.state = atSlash
	case !s.spaced:
		return false, fault(notWellFormed, "no white space before an attribute")
	case len(s.attrs) >= s.lim.Attrs:
		return false, fault(policyViolation, "too many attributes")
	default:
		s.mark, s.colon, s.state = p, 0, inAttr
	}
	return false, nil
}

// equals reads what stands between an attribute's name and its value.
func (s *scanner) equals(el []byte) error {
	c := el[s.pos]
	switch {
	case class[c]&whiteSpace != 0:
		s.pos++
		for s.pos < len(el) && class[el[s.pos]]&whiteSpace != 0 {
			s.pos++
		}
	case s.state == atEquals && c == '=':
		s.pos++
		s.state = atQuote
	case s.state == atQuote && (c == '\'' || c == '"'):
		s.pos++
		s.quote, s.escaped = c, false
		s.mark, s.state = s.pos, inValue
	default:
		return fault(notWellFormed, "an attribute without a quoted value")
	}
	return nil
}

// value reads an attribute's value.
func (s *scanner) value(el []byte) error {
	p := s.pos
	for p < len(el) {
		c := el[p]
		if class[c]&plainValue != 0 {
			p++
			continue
		}
		switch {
		case c == s.quote:
			a := &s.attrs[len(s.attrs)-1]
			a.value = span{int32(s.mark), int32(p)}
			a.escaped = s.escaped
			s.pos, s.state, s.spaced = p+1, inTag, false
			return nil
		case c == '\'' || c == '"':
			p++
		case c == '&':
			s.pos = p
			_, n, err := reference(el[p:])
			if n == 0 || err != nil {
				return err
			}
			s.escaped = true
			p += n
		case class[c]&whiteSpace != 0:
			s.escaped = true
			p++
		case c >= 0x80:
			s.pos = p
			_, n, err := multibyte(el[p:])
			if n == 0 || err != nil {
				return err
			}
			p += n
		default:
			s.pos = p
			return fault(notWellFormed, "a character that an attribute cannot have")
		}
	}
	s.pos = p
	return nil
}

// end reads an end tag after "</".
func (s *scanner) end(el []byte) (done bool, err error) {
	p := s.pos
	var want []byte
	if n := len(s.stack); n > 0 {
		want = s.stack[n-1].name.of(el)
	} else {
		want = []byte(s.root.qname)
		if len(want) == 0 {
			return false, fault(notWellFormed, "an end tag without a start tag")
		}
	}
	if s.state == inEnd {
		for p < len(el) && el[p] != '>' && class[el[p]]&whiteSpace == 0 {
			p++
		}
		s.pos = p
		if got := el[s.mark:p]; p == len(el) && len(got) <= len(want) && bytes.Equal(got, want[:len(got)]) {
			return false, nil
		} else if !bytes.Equal(got, want) {
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
	n := len(s.stack)
	if n == 0 {
		s.closing = true
		return true, nil
	}
	if s.tree != nil {
		s.tree.end(s.pos)
	}
	s.binds = s.binds[:s.stack[n-1].binds]
	s.stack = s.stack[:n-1]
	return n == 1, nil
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
	return nil
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
