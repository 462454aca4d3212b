package pdu

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

var (
	// ErrEmpty refuses a text without characters.
	ErrEmpty = errors.New("the text is empty")
	// ErrText refuses a text that is not UTF-8.
	ErrText = errors.New("the text is not valid UTF-8")
)

// MaxParts is what a message can have (3GPP TS 23.040 §9.2.3.24.1).
const MaxParts = 255

// TooLongError refuses a text that needs more parts than allowed.
type TooLongError struct {
	Parts, Max int
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("the text needs %d parts, at most %d are allowed", e.Parts, e.Max)
}

// Parts returns how many parts Encode makes of a text with 16-bit references,
// and in which alphabet; 0 for an empty text or one that is not UTF-8.
func Parts(text string) (n int, a Alphabet) {
	if text == "" || !utf8.ValidString(text) {
		return 0, GSM7
	}
	a, cuts := split(text, true)
	return len(cuts), a
}

// split chooses the alphabet and returns the pieces of the text, one for each
// part: as few as greedy filling gives, cut between grapheme clusters only
// (a cluster longer than a part is cut between characters).
func split(text string, wide bool) (Alphabet, []string) {
	if n, ok := countSeptets(text); ok {
		if n <= 160 {
			return GSM7, []string{text}
		}
		capacity := 153
		if wide {
			capacity = 152
		}
		return GSM7, cut(text, capacity, func(r rune) int { _, c := septet(r); return c }, gsmCluster)
	}
	if units(text) <= 70 {
		return UCS2, []string{text}
	}
	capacity := 67
	if wide {
		capacity = 66
	}
	return UCS2, cut(text, capacity, runeUnits, nextCluster)
}

func cut(text string, capacity int, cost func(rune) int, cluster func(string) int) []string {
	var pieces []string
	start, used := 0, 0
	flush := func(at int) {
		if at > start {
			pieces = append(pieces, text[start:at])
		}
		start, used = at, 0
	}
	for at := 0; at < len(text); {
		end := at + cluster(text[at:])
		need := 0
		for _, r := range text[at:end] {
			need += cost(r)
		}
		if used+need > capacity {
			flush(at)
		}
		if need <= capacity {
			used += need
			at = end
			continue
		}
		for i, r := range text[at:end] { // larger than a whole part
			c := cost(r)
			if used+c > capacity {
				flush(at + i)
			}
			used += c
		}
		at = end
	}
	flush(len(text))
	return pieces
}

// gsmCluster is the only cluster the GSM alphabet can form: CR LF.
func gsmCluster(s string) int {
	if len(s) > 1 && s[0] == '\r' && s[1] == '\n' {
		return 2
	}
	_, n := utf8.DecodeRuneInString(s)
	return n
}

func nextCluster(s string) int {
	c, _, _, _ := uniseg.FirstGraphemeClusterInString(s, -1)
	return len(c)
}

func runeUnits(r rune) int {
	if r > 0xFFFF {
		return 2
	}
	return 1
}

func units(s string) int {
	n := 0
	for _, r := range s {
		n += runeUnits(r)
	}
	return n
}

func encodeBody(a Alphabet, s string) body {
	if a == GSM7 {
		b, _ := toSeptets(s) // ignored: split has checked the alphabet
		return body{GSM7, b}
	}
	b := make([]byte, 0, 2*len(s))
	for _, r := range s {
		if r > 0xFFFF {
			r -= 0x10000
			hi, lo := 0xD800+r>>10, 0xDC00+r&0x3FF
			b = append(b, byte(hi>>8), byte(hi), byte(lo>>8), byte(lo))
		} else {
			b = append(b, byte(r>>8), byte(r))
		}
	}
	return body{UCS2, b}
}

// pieces checks a text and splits it.
func pieces(text string, wide bool, limit int) (Alphabet, []string, error) {
	if text == "" {
		return "", nil, ErrEmpty
	}
	if !utf8.ValidString(text) {
		return "", nil, ErrText
	}
	if limit <= 0 || limit > MaxParts {
		limit = MaxParts
	}
	a, p := split(text, wide)
	if len(p) > limit {
		return a, nil, &TooLongError{Parts: len(p), Max: limit}
	}
	return a, p, nil
}
