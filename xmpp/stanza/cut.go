package stanza

import "strings"

// Without is s without the child elements that drop picks, every other byte as
// it was; s itself when it picks none.
func (s *Stanza) Without(drop func(*Element) bool) *Stanza {
	els := s.Elements()
	gone, first := 0, -1 // first that stays
	for i := range els {
		if drop(&els[i]) {
			gone++
		} else if first < 0 {
			first = i
		}
	}
	if gone == 0 {
		return s
	}
	c := *s
	c.xml = s.Decls() + cutChildren(s.Inner(), func(i int) bool { return i < len(els) && drop(&els[i]) })
	c.Payload, c.Children = Name{}, len(els)-gone
	if first >= 0 {
		c.Payload = els[first].Name
	}
	return &c
}

// cutChildren leaves out the top-level elements that drop names by their
// number. inner comes from a strict reader: well-formed, without comments,
// processing instructions or a DTD.
func cutChildren(inner string, drop func(i int) bool) string {
	var b strings.Builder
	kept, depth, child, start := 0, 0, 0, 0
	for i := 0; i < len(inner); {
		if inner[i] != '<' {
			i++
			continue
		}
		if rest, ok := strings.CutPrefix(inner[i:], "<![CDATA["); ok {
			end := strings.Index(rest, "]]>")
			if end < 0 {
				return inner
			}
			i += len("<![CDATA[") + end + len("]]>")
			continue
		}
		end := tagEnd(inner, i)
		if end < 0 {
			return inner
		}
		if depth == 0 {
			start = i
		}
		switch {
		case inner[i+1] == '/':
			depth--
		case inner[end-2] != '/':
			depth++
		}
		i = end
		if depth == 0 {
			if drop(child) {
				b.WriteString(inner[kept:start])
				kept = i
			}
			child++
		}
	}
	b.WriteString(inner[kept:])
	return b.String()
}

// tagEnd returns the offset behind the > of the tag that starts at i, -1
// without one; a > may stand inside a quoted value.
func tagEnd(s string, i int) int {
	var quote byte
	for i++; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return -1
}
