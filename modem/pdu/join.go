package pdu

import (
	"slices"
	"sort"
	"strings"
)

// Part is the body of one TPDU before decoding. Data has one septet in each
// byte for GSM7, UTF-16 octets for UCS2, plain octets for Data.
type Part struct {
	Concat   Concat
	Alphabet Alphabet
	Data     []byte

	lang language
}

// Join puts the parts of one message into a text, in the order of their part
// numbers. Neighbours of one alphabet are joined before they are decoded, so
// that surrogate and escape pairs cut at a border heal; what stays broken
// becomes U+FFFD. Missing parts leave no trace: see JoinGaps.
func Join(parts []Part) string { return JoinGaps(parts, nil) }

// JoinGaps is Join with a mark for each missing part: gap is called with its
// number and the total, and what it returns takes its place. A nil gap marks
// nothing. Of several parts with one number the first counts.
func JoinGaps(parts []Part, gap func(seq, total int) string) string {
	sorted := slices.Clone(parts)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].Concat.Seq < sorted[j].Concat.Seq })
	var out strings.Builder
	var run []byte
	var cur Part
	flush := func() {
		if len(run) > 0 {
			out.WriteString(decodeBody(cur.Alphabet, run, cur.lang))
		}
		run = run[:0]
	}
	next, total := 1, 0
	missing := func(until int) {
		for ; next < until; next++ {
			flush() // nothing may join across a hole
			if gap != nil {
				out.WriteString(gap(next, total))
			}
		}
	}
	for i, p := range sorted {
		if i > 0 && p.Concat.Seq > 0 && p.Concat.Seq == sorted[i-1].Concat.Seq {
			continue
		}
		total = max(total, p.Concat.Total)
		missing(p.Concat.Seq)
		next = p.Concat.Seq + 1
		if p.Alphabet != cur.Alphabet || p.lang != cur.lang {
			flush()
		}
		cur = p
		run = append(run, p.Data...)
	}
	flush()
	missing(total + 1)
	return out.String()
}
