package xmlstream

// Parse reads one complete element (a WebSocket frame, a stored stanza).
// content is the default namespace the bytes stand in, e.g. jabber:client.
// White space around it is allowed, an XML declaration is not. The token
// refers to b and stays valid as long as b does not change.
func Parse(b []byte, content string, lim Limits) (Token, error) {
	from := 0
	for from < len(b) && class[b[from]]&whiteSpace != 0 {
		from++
	}
	s := scanners.Get().(*scanner)
	defer scanners.Put(s)
	s.reset(lim.withDefaults(), &root{content: content})
	el := b[from:]
	if err := s.whole(el); err != nil {
		if e, ok := err.(*SyntaxError); ok {
			e.Offset = int64(from + s.pos)
		}
		return Token{}, err
	}
	var t Token
	s.token(el, &t)
	s.out, s.scratch = nil, nil // the token keeps them
	return t, nil
}

// whole reads an element that must end with el.
func (s *scanner) whole(el []byte) error {
	if len(el) == 0 || el[0] != '<' {
		return fault(notWellFormed, "no element")
	}
	if len(el) > s.lim.Bytes {
		return fault(policyViolation, "an element that is too large")
	}
	done, err := s.scan(el)
	if err != nil {
		return err
	}
	if !done {
		return fault(notWellFormed, "an element without end")
	}
	for _, c := range el[s.pos:] {
		if class[c]&whiteSpace == 0 {
			return fault(notWellFormed, "something after the element")
		}
	}
	return nil
}

// ParseTree parses the inner bytes of an element into its children. content
// is the namespace of un-prefixed names without an xmlns of their own; decls
// are prefix declarations in force.
func ParseTree(inner, decls, content string) ([]Tree, error) {
	if inner == "" {
		return nil, nil
	}
	const open, end = "<x", "</x>"
	src := open + decls + ">" + inner + end
	s := scanners.Get().(*scanner)
	defer scanners.Put(s)
	s.reset(trustedLimits, &root{content: content})
	s.tree = &builder{src: src, base: scope{space: content}}
	defer func() { s.tree = nil }()
	if err := s.whole([]byte(src)); err != nil {
		if e, ok := err.(*SyntaxError); ok {
			e.Offset = int64(max(0, s.pos-len(src)+len(inner)+len(end)))
		}
		return nil, err
	}
	return s.tree.done.Children, nil
}
