package pdu

import (
	"sync"

	"github.com/warthog618/sms/encoding/gsm7/charset"
)

// language names the national tables of a message: identifiers of the single
// and locking shift information elements, 3GPP TS 23.040 §9.2.3.24.15-16.
// 0 is the default alphabet.
type language struct{ single, locking byte }

// Identifiers of TS 23.038 §6.2.1.2.4.
const (
	turkish    = 1
	spanish    = 2
	portuguese = 3
)

// The languages of India and Urdu have whole tables of their own.
const (
	bengali = 4
	hindi   = 6
	urdu    = 13
)

// southAsian are the tables of TS 23.038 annexes A.2.4 to A.2.13 and A.3.4 to
// A.3.13, made when a message needs one; the library makes them without a lock.
var southAsian = func() (tables [urdu + 1]func() [2]charset.Decoder) {
	for id := bengali; id <= urdu; id++ {
		tables[id] = sync.OnceValue(func() [2]charset.Decoder {
			return [2]charset.Decoder{charset.NewDecoder(id), charset.NewExtDecoder(id)}
		})
	}
	return tables
}()

// tables returns the decoding functions. An identifier that nobody has defined
// decodes with the default tables: a lossy text is better than none.
func (l language) tables() (locking, single func(byte) rune) {
	locking, single = mainTable, extension
	if l.locking >= bengali && l.locking <= urdu {
		table := southAsian[l.locking]()[0]
		locking = func(c byte) rune { return orBlank(table[c]) }
		if l.locking == hindi { // the library has the signs of another script there
			inner := locking
			locking = func(c byte) rune { return patched(hindiLocking, c, inner) }
		}
	}
	if l.single >= bengali && l.single <= urdu {
		table := southAsian[l.single]()[1]
		single = func(c byte) rune { return table[c] }
	}
	switch l.locking {
	case turkish:
		locking = func(c byte) rune { return patched(turkishLocking, c, mainTable) }
	case portuguese:
		locking = func(c byte) rune { return patched(portugueseLocking, c, mainTable) }
	}
	switch l.single {
	case turkish:
		single = func(c byte) rune { return patched(turkishSingle, c, extension) }
	case spanish:
		single = func(c byte) rune { return patched(spanishSingle, c, extension) }
	case portuguese:
		single = func(c byte) rune { return patched(portugueseSingle, c, extension) }
	}
	return locking, single
}

// orBlank shows a code that a table leaves open as a blank.
func orBlank(r rune) rune {
	if r == 0 {
		return ' '
	}
	return r
}

// A patch lists how a national table differs from the default one.
type patch struct {
	code byte
	r    rune
}

func patched(p []patch, c byte, base func(byte) rune) rune {
	for _, d := range p {
		if d.code == c {
			return d.r
		}
	}
	return base(c)
}

// TS 23.038 annex A.2.1, A.2.2 and A.2.3: single shift tables.
var (
	turkishSingle = []patch{{0x47, 'Ğ'}, {0x49, 'İ'}, {0x53, 'Ş'}, {0x63, 'ç'}, {0x67, 'ğ'}, {0x69, 'ı'}, {0x73, 'ş'}}
	spanishSingle = []patch{{0x09, 'ç'}, {0x41, 'Á'}, {0x49, 'Í'}, {0x4F, 'Ó'}, {0x55, 'Ú'}, {0x61, 'á'}, {0x69, 'í'},
		{0x6F, 'ó'}, {0x75, 'ú'}}
	portugueseSingle = []patch{{0x05, 'ê'}, {0x09, 'ç'}, {0x0B, 'Ô'}, {0x0C, 'ô'}, {0x0E, 'Á'}, {0x0F, 'á'}, {0x12, 'Φ'},
		{0x13, 'Γ'}, {0x15, 'Ω'}, {0x16, 'Π'}, {0x17, 'Ψ'}, {0x18, 'Σ'}, {0x19, 'Θ'}, {0x1F, 'Ê'}, {0x41, 'À'}, {0x49, 'Í'},
		{0x4F, 'Ó'}, {0x55, 'Ú'}, {0x5B, 'Ã'}, {0x5C, 'Õ'}, {0x61, 'Â'}, {0x69, 'í'}, {0x6F, 'ó'}, {0x75, 'ú'}, {0x7B, 'ã'},
		{0x7C, 'õ'}, {0x7F, 'â'}}
)

// The first codes of TS 23.038 annex A.3.6.
var hindiLocking = []patch{{0x00, '\u0901'}, {0x01, '\u0902'}, {0x02, '\u0903'}}

// TS 23.038 annex A.3.1 and A.3.3: locking shift tables.
var (
	turkishLocking = []patch{{0x04, '€'}, {0x07, 'ı'}, {0x0B, 'Ğ'}, {0x0C, 'ğ'}, {0x1C, 'Ş'}, {0x1D, 'ş'}, {0x40, 'İ'}, {0x60, 'ç'}}
	// The escape code keeps its place in every locking table.
	portugueseLocking = []patch{{0x04, 'ê'}, {0x06, 'ú'}, {0x07, 'í'}, {0x08, 'ó'}, {0x09, 'ç'}, {0x0B, 'Ô'}, {0x0C, 'ô'},
		{0x0E, 'Á'}, {0x0F, 'á'}, {0x12, 'ª'}, {0x13, 'Ç'}, {0x14, 'À'}, {0x15, '∞'}, {0x16, '^'}, {0x17, '\\'}, {0x18, '€'},
		{0x19, 'Ó'}, {0x1A, '|'}, {0x1C, 'Â'}, {0x1D, 'â'}, {0x1E, 'Ê'}, {0x24, 'º'}, {0x40, 'Í'}, {0x5B, 'Ã'}, {0x5C, 'Õ'},
		{0x5D, 'Ú'}, {0x60, '~'}, {0x7B, 'ã'}, {0x7C, 'õ'}, {0x7D, '`'}}
)
