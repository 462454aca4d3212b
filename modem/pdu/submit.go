package pdu

import (
	"fmt"
	"time"
)

// Options of outgoing messages.
type Options struct {
	To  Number
	Ref uint16 // reference of a message of several parts; the caller keeps the counter
	// NarrowRef uses the 8-bit reference (its low octet): one more character fits each part.
	NarrowRef        bool
	StatusReport     bool          // TP-SRR: ask for a status report
	Validity         time.Duration // TP-VP; 0 leaves it to the network
	Class            Class
	RejectDuplicates bool // TP-RD: the SMSC drops a second copy with the same reference and recipient
	MaxParts         int  // more are a *TooLongError; 0 means 255
}

// Info says what Encode made.
type Info struct {
	Alphabet Alphabet
	Parts    int
}

// Encode makes the SUBMIT TPDUs of a text, one for each part, without the SMSC
// field and with message reference 0 (the modem sets its own). Errors are
// ErrEmpty, ErrText, ErrNumber and *TooLongError, whose Info still says how
// many parts it would be.
func Encode(text string, o Options) ([][]byte, Info, error) {
	a, texts, err := pieces(text, !o.NarrowRef, o.MaxParts)
	if err != nil {
		info := Info{Alphabet: a}
		if long, ok := err.(*TooLongError); ok {
			info.Parts = long.Parts
		}
		return nil, info, err
	}
	if o.To.Digits == "" || o.To.TON == Alphanumeric {
		return nil, Info{}, fmt.Errorf("%w: %q", ErrNumber, o.To.Digits)
	}
	first := byte(0x01)
	if o.RejectDuplicates {
		first |= 0x04
	}
	if o.Validity > 0 {
		first |= 0x10
	}
	if o.StatusReport {
		first |= 0x20
	}
	if len(texts) > 1 {
		first |= 0x40
	}
	out := make([][]byte, len(texts))
	for i, s := range texts {
		b := make([]byte, 0, 164)
		b = append(b, first, 0)
		if b, err = appendAddress(b, o.To); err != nil {
			return nil, Info{}, err
		}
		b = append(b, 0, makeDCS(a, o.Class))
		if o.Validity > 0 {
			b = append(b, relativeValidity(o.Validity))
		}
		out[i] = appendUserData(b, o.concat(i, len(texts)), encodeBody(a, s))
	}
	return out, Info{Alphabet: a, Parts: len(out)}, nil
}

func (o Options) concat(i, n int) Concat {
	if n == 1 {
		return Concat{}
	}
	c := Concat{Ref: o.Ref, Wide: !o.NarrowRef, Total: n, Seq: i + 1}
	if o.NarrowRef {
		c.Ref &= 0xFF
	}
	return c
}

// Submit is an outgoing message as a service centre reads it.
type Submit struct {
	MR                             byte
	To                             Number
	PID, DCS                       byte
	StatusReport, RejectDuplicates bool
	ReplyPath                      bool
	Validity                       time.Duration // relative; 0 when absent or of another form
	ValidUntil                     time.Time     // absolute form
	Class                          Class
	Part                           Part
	Header                         []IE
	Remarks                        []string // what was odd, for the log
}

// Text decodes this part on its own.
func (s Submit) Text() string { return Join([]Part{s.Part}) }

// DecodeSubmit reads a SUBMIT TPDU (3GPP TS 23.040 §9.2.2.2).
func DecodeSubmit(tpdu []byte) (Submit, error) {
	var s Submit
	if len(tpdu) < 2 {
		return s, ErrShort
	}
	if KindOf(tpdu, true) != KindSubmit {
		return s, ErrKind
	}
	first := tpdu[0]
	s.MR = tpdu[1]
	s.RejectDuplicates = first&0x04 != 0
	s.StatusReport = first&0x20 != 0
	s.ReplyPath = first&0x80 != 0
	to, rest, err := readAddress(tpdu[2:])
	if err != nil {
		return s, fmt.Errorf("destination: %w", err)
	}
	s.To = to
	vp := [4]int{0, 7, 1, 7}[first>>3&3]
	if len(rest) < 2+vp+1 {
		return s, ErrShort
	}
	s.PID, s.DCS = rest[0], rest[1]
	switch first >> 3 & 3 {
	case 2:
		s.Validity = validityPeriod(rest[2])
	case 3:
		s.ValidUntil, _ = readTime(rest[2:9]) // ignored: an unreadable limit is none
	}
	u := readUserData(rest[2+vp:], s.DCS, first&0x40 != 0)
	s.Part, s.Header, s.Class, s.Remarks = u.part(), u.ies, u.class, u.remarks
	return s, nil
}
