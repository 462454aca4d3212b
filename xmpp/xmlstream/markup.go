package xmlstream

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
	if to < len(el) && el[to] == '>' && sameName(el, uint(name.from), uint(p), uint(name.to-name.from)) {
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
