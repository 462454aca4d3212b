package xmlstream

import "slices"

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
	colon       int32  // offset of the colon in the name, 0 for none
	escaped     bool   // the value has references or white space to normalize
	declares    bool   // it is a namespace declaration
	space       string // of an attribute with prefix, once it is checked
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
	out      []Attr // the same for the token; the last token's until then
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

// more lengthens a slice by one element, which is as it was left. Its fields
// are then set one by one: copying a struct that was just put together costs
// the processor more than all the rest here.
func more[T any](s *[]T) *T {
	n := len(*s)
	if n == cap(*s) {
		*s = slices.Grow(*s, 8)
	}
	*s = (*s)[:n+1]
	return &(*s)[n]
}

// reset prepares for the next element.
func (s *scanner) reset(lim Limits, rt *root) {
	s.lim, s.root, s.tree = lim, rt, nil
	s.progress = progress{}
	s.stack, s.binds, s.attrs = s.stack[:0], s.binds[:0], s.attrs[:0]
	s.topAttrs = s.topAttrs[:0]
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
// bytes, and leaves by pause with the state to come back to.
func (s *scanner) scan(el []byte) (done bool, err error) {
	var (
		p, n  = uint(s.pos), uint(len(el)) // unsigned: the compiler then sees that el[p] is in bounds
		size  int
		a     *attr
		binds int // declarations in force
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
	if p == n || el[p] != '<' {
		p = skipText(el, p)
	}
	if p == n {
		s.state = inText
		goto pause
	}
	if el[p] != '<' {
		size, err = special(el, int(p))
		p += uint(size)
		if err != nil || size == 0 {
			s.state = inText
			goto pause
		}
		goto text
	}
	if s.tree != nil && int(p) > s.mark {
		s.tree.text(el, s.mark, int(p), false)
	}
	s.mark = int(p)
	p++

markup:
	if p == n {
		s.state = atMarkup
		goto pause
	}
	switch el[p] {
	case '/':
		s.innerTo = s.mark
		p++
		if size = s.closes(el, int(p)); size > 0 {
			p += uint(size)
			s.pos = int(p)
			if s.mark = s.pos; s.pop() {
				return true, nil
			}
			goto text
		}
		s.mark, s.state = int(p), inEnd
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
		goto pause
	}
	s.attrs = s.attrs[:0]
	binds = len(s.binds)
	switch end, did := s.plainTag(el, p); did {
	case passed:
		p = end
		goto text
	case tagRead, tagOwns:
		p = end
		s.pos = int(p)
		s.mark, s.state = s.pos, inText
		if done, err = s.opened(el, binds, did == tagOwns, el[p-2] == '/'); done || err != nil {
			return done, err
		}
		goto text
	}
	s.mark, s.colon, s.attr = int(p), 0, false

name: // of a start tag or an attribute
	for p < n && class[el[p]]&nameByte != 0 {
		p++
	}
	if p == n || el[p] == ':' || el[p] >= 0x80 {
		size, err = s.unusual(el, int(p))
		p += uint(size)
		if err != nil || size == 0 {
			s.state = inName
			goto pause
		}
		goto name
	}
	if class[el[s.mark]]&nameStart == 0 || s.colon != 0 || int(p)-s.mark > s.lim.Name {
		if err = s.checkName(el[s.mark:p]); err != nil {
			goto pause
		}
	}
	if s.attr {
		a = more(&s.attrs)
		a.name.from, a.name.to, a.colon = int32(s.mark), int32(p), int32(s.colon)
		a.declares = el[s.mark] == 'x' && declares(el[s.mark:p])
		goto equals
	}
	s.tag.from, s.tag.to, s.tagCol = int32(s.mark), int32(p), int32(s.colon)
	s.spaced = false

inside: // a start tag, between attributes
	for p < n && class[el[p]]&whiteSpace != 0 {
		s.spaced = true
		p++
	}
	if p == n {
		s.state = inTag
		goto pause
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
		goto pause
	case len(s.attrs) >= s.lim.Attrs:
		err = fault(policyViolation, "too many attributes")
		goto pause
	}
	s.mark, s.colon, s.attr = int(p), 0, true
	goto name

equals:
	if p < n && el[p] == '=' { // no white space: the common case
		p++
		goto quote
	}
	for p < n && class[el[p]]&whiteSpace != 0 {
		p++
	}
	if p == n {
		s.state = atEquals
		goto pause
	}
	if el[p] != '=' {
		err = fault(notWellFormed, "an attribute without a value")
		goto pause
	}
	p++

quote:
	if p < n && (el[p] == '\'' || el[p] == '"') {
		goto quoted
	}
	for p < n && class[el[p]]&whiteSpace != 0 {
		p++
	}
	if p == n {
		s.state = atQuote
		goto pause
	}
	if el[p] != '\'' && el[p] != '"' {
		err = fault(notWellFormed, "an attribute without a quoted value")
		goto pause
	}

quoted:
	s.quote = el[p]
	p++
	s.mark, s.escaped = int(p), false

value:
	p = skipValue(el, p, s.quote)
	if p == n {
		s.state = inValue
		goto pause
	}
	if el[p] != s.quote {
		size, err = s.specialInValue(el, int(p))
		p += uint(size)
		if err != nil || size == 0 {
			s.state = inValue
			goto pause
		}
		goto value
	}
	a = &s.attrs[len(s.attrs)-1]
	a.value.from, a.value.to, a.escaped = int32(s.mark), int32(p), s.escaped
	p++
	s.spaced = false
	goto inside

slash: // of an empty element
	if p == n {
		s.state = atSlash
		goto pause
	}
	if el[p] != '>' {
		err = fault(notWellFormed, "a slash inside a tag")
		goto pause
	}
	p++

opened: // a start tag is complete
	s.pos = int(p)
	s.mark, s.state = s.pos, inText
	if done, err = s.startTag(el, el[p-2] == '/'); done || err != nil {
		return done, err
	}
	goto text

rare:
	s.pos = int(p)
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
	p = uint(s.pos)
	if s.state == inText {
		goto text
	}
	return false, nil

pause: // bytes, or an error
	s.pos = int(p)
	return false, err
}
