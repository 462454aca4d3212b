// Package pdu turns texts into GSM transfer protocol units and back: 3GPP TS
// 23.040 (TPDU) and TS 23.038 (alphabets).
//
// Encoding is strict: Encode splits a text so that no escape pair, surrogate
// pair or grapheme cluster lies on a part border, uses 16-bit references, and
// refuses what it can not carry. Decoding is lenient, because networks and
// phones are not strict: whatever holds an address and a body gives a text,
// lossy at worst, and remarks say what was odd. Join puts parts together
// before it decodes them, so that pairs cut by other senders heal.
//
// All national language tables of TS 23.038 annex A are read, and none is used
// for writing.
//
// Left out: compressed user data (TS 23.042, shown as unreadable) and SUBMIT
// with enhanced validity periods (decoded as "none").
//
// Nothing here keeps state or starts goroutines; all functions are safe for
// concurrent use.
package pdu

import "crypto/sha256"

// Kind is the type of a TPDU (3GPP TS 23.040 §9.2.3.1).
type Kind int

// Kinds of TPDU.
const (
	KindDeliver Kind = iota
	KindSubmit
	KindStatusReport
	KindCommand
	KindDeliverReport
	KindSubmitReport
)

// String returns the standard's name.
func (k Kind) String() string {
	return [...]string{"DELIVER", "SUBMIT", "STATUS-REPORT", "COMMAND", "DELIVER-REPORT", "SUBMIT-REPORT"}[k]
}

// KindOf reads the message type indicator. outgoing is the direction: false
// for what the network sends to the modem (stored with stat 0 or 1), true for
// what the modem sends (stat 2 or 3). The reserved incoming value 3 counts as
// DELIVER, as 3GPP TS 23.040 §9.2.3.1 asks. An empty TPDU is a DELIVER too;
// its decoder says that it is short.
func KindOf(tpdu []byte, outgoing bool) Kind {
	if len(tpdu) == 0 {
		return KindDeliver
	}
	mti := tpdu[0] & 3
	if outgoing {
		switch mti {
		case 1:
			return KindSubmit
		case 2:
			return KindCommand
		}
		return KindDeliverReport
	}
	switch mti {
	case 1:
		return KindSubmitReport
	case 2:
		return KindStatusReport
	}
	return KindDeliver
}

// Hash identifies a received TPDU for duplicate detection: SHA-256 with the
// first octet masked to the message type and the header indicator, since the
// network flips TP-MMS when it delivers the same message again.
func Hash(tpdu []byte) [32]byte {
	h := sha256.New()
	if len(tpdu) > 0 {
		h.Write([]byte{tpdu[0] & 0x43})
		h.Write(tpdu[1:])
	}
	var sum [32]byte
	h.Sum(sum[:0])
	return sum
}
