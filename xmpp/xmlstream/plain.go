package xmlstream

import (
	"bytes"
	"encoding/binary"
)

// Nearly every tag on the wire is plain: it is there whole, its names are
// ASCII and have no prefix but xml:lang's, one blank stands before each attribute, none
// around the '=', and no value has a reference. plainTag reads such a tag with
// everything in registers. What it does not like it leaves, all of it, to the
// states of scan, which alone say what is wrong with a tag: so there is one
// place for strictness, and a tag is looked at twice at most.

// xmlns is that name as the first of eight bytes, xmlLang is "xml:lang".
const (
	xmlns   = 'x' | 'm'<<8 | 'l'<<16 | 'n'<<24 | 's'<<32
	xmlLang = 'x' | 'm'<<8 | 'l'<<16 | ':'<<24 | 'l'<<32 | 'a'<<40 | 'n'<<48 | 'g'<<56
)

// plain says what plainTag has done.
type plain uint8

const (
	notPlain plain = iota // nothing
	tagRead               // s.tag and s.attrs are filled, its declaration is bound
	tagOwns               // the same, and the default namespace was declared
	passed                // all there is to do
)

// plainTag reads a start tag from its name on, el[p], and returns the position
// after its '>'. An element inside whose name nobody asks for is opened, too.
func (s *scanner) plainTag(el []byte, p uint) (end uint, did plain) {
	n := uint(len(el))
	if p+8 > n {
		return 0, notPlain
	}
	q := p // names are short: the processor foresees their ends, and need not wait for a word to be taken apart
	for q < n && class[el[q]]&nameByte != 0 {
		q++
	}
	if class[el[p]]&nameStart == 0 || q-p > uint(s.lim.Name) {
		return 0, notPlain
	}
	nameEnd := q
	attrs := s.attrs[:min(cap(s.attrs), s.lim.Attrs)]
	count, declared := 0, -1
	seen := uint64(0) // a bit for each first letter and length
	for {
		if q >= n {
			return 0, notPlain
		}
		if el[q] == '>' {
			q++
			break
		}
		from := q + 1
		if from+8 > n {
			return 0, notPlain
		}
		if el[q] != ' ' {
			if el[q] != '/' || el[from] != '>' {
				return 0, notPlain
			}
			q = from + 1
			break
		}
		w := binary.LittleEndian.Uint64(el[from:])
		to := from
		for to < n && class[el[to]]&nameByte != 0 {
			to++
		}
		colon := int32(0)
		if w == xmlLang { // the one prefix that many tags have, and that nobody can bind anew
			to, colon = from+8, 3
		}
		if to+1 >= n || el[to] != '=' || class[el[from]]&nameStart == 0 || to-from > uint(s.lim.Name) || count >= len(attrs) {
			return 0, notPlain
		}
		quote := el[to+1]
		if quote != '\'' && quote != '"' {
			return 0, notPlain
		}
		q = skipValue(el, to+2, quote)
		if q >= n || el[q] != quote {
			return 0, notPlain
		}
		a := &attrs[count]
		a.name.from, a.name.to, a.colon = int32(from), int32(to), colon
		a.value.from, a.value.to = int32(to+2), int32(q)
		a.escaped, a.declares = false, false
		if colon != 0 {
			a.space = xmlSpace
		}
		bit := uint64(1) << ((uint(w&0xff)*7 + to - from) % 64)
		if seen&bit != 0 && repeated(el, attrs[:count], a) {
			return 0, notPlain
		}
		seen |= bit
		if w&(1<<40-1) == xmlns && to-from == 5 {
			a.declares = true
			declared = count
		}
		count++
		q++
	}
	depth, binds, empty := len(s.stack), len(s.binds), el[q-2] == '/'
	passing := s.tree == nil && (depth > 1 || depth == 1 && s.head.children > 0 && !s.head.reroots)
	if declared >= 0 && !(passing && empty && s.harmless(attrs[declared].value)) && s.declare(el, &attrs[declared]) != nil {
		s.binds = s.binds[:binds]
		return 0, notPlain
	}
	if passing {
		if depth == 1 {
			s.head.children++
		}
		if empty {
			s.binds = s.binds[:binds]
			return q, passed
		}
		f := more(&s.stack)
		f.name.from, f.name.to, f.binds = int32(p), int32(nameEnd), int32(binds)
		return q, passed
	}
	s.attrs = attrs[:count]
	s.tag.from, s.tag.to, s.tagCol = int32(p), int32(nameEnd), 0
	if declared >= 0 {
		return q, tagOwns
	}
	return q, tagRead
}

// harmless reports a default namespace that nothing forbids: one that is as
// long as neither reserved one. An empty element need not bind it.
func (s *scanner) harmless(value span) bool {
	n := int(value.to - value.from)
	return n != len(xmlSpace) && n != len(xmlnsSpace) && len(s.binds) < maxBindings
}

// sameName compares two names that are equally long.
func sameName(el []byte, a, b, size uint) bool {
	if size <= 8 && a+8 <= uint(len(el)) && b+8 <= uint(len(el)) {
		x := binary.LittleEndian.Uint64(el[a:]) ^ binary.LittleEndian.Uint64(el[b:])
		return x<<(64-8*size) == 0
	}
	return bytes.Equal(el[a:a+size], el[b:b+size])
}
