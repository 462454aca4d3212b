package pdu

import (
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Alphabet of a message's text.
type Alphabet string

// Alphabets of 3GPP TS 23.038 §4.
const (
	GSM7 Alphabet = "gsm7"
	Data Alphabet = "8bit"
	UCS2 Alphabet = "ucs2"
)

// Class of a message (3GPP TS 23.038 §4). The zero value is no class.
type Class int

// Message classes.
const (
	NoClass Class = iota
	Flash         // class 0: shown at once, not stored
	Class1        // stored in the phone
	Class2        // stored on the SIM
	Class3        // for the terminal
)

var (
	// ErrShort says that a TPDU ends before its user data.
	ErrShort = errors.New("TPDU is too short")
	// ErrKind says that a TPDU is of another type than the one asked for.
	ErrKind = errors.New("TPDU is of another type")
)

type coding struct {
	alphabet   Alphabet
	class      Class
	compressed bool
	odd        bool // reserved group, read as GSM 7 bit
}

// readDCS reads the data coding scheme octet; every value has a meaning,
// reserved groups count as the default alphabet (TS 23.038 §4).
func readDCS(dcs byte) coding {
	c := coding{alphabet: GSM7}
	switch {
	case dcs < 0x80: // general and automatic deletion groups
		c.compressed = dcs&0x20 != 0
		switch dcs >> 2 & 3 {
		case 1:
			c.alphabet = Data
		case 2:
			c.alphabet = UCS2
		case 3:
			c.odd = true
		}
		if dcs&0x10 != 0 {
			c.class = Class(dcs&3) + 1
		}
	case dcs < 0xC0:
		c.odd = true
	case dcs >= 0xE0 && dcs < 0xF0:
		c.alphabet = UCS2
	case dcs >= 0xF0:
		if dcs&4 != 0 {
			c.alphabet = Data
		}
		c.class = Class(dcs&3) + 1
	}
	return c
}

func makeDCS(a Alphabet, c Class) byte {
	var dcs byte
	switch a {
	case UCS2:
		dcs = 0x08
	case Data:
		dcs = 0x04
	}
	if c > NoClass && c <= Class3 {
		dcs |= 0x10 | byte(c-1)
	}
	return dcs
}

// decodeBody turns joined user data into text: septets, UTF-16BE octets, or
// octets of unknown coding.
func decodeBody(a Alphabet, data []byte, l language) string {
	switch a {
	case GSM7:
		return fromSeptets(data, l)
	case UCS2:
		u := make([]uint16, len(data)/2)
		for i := range u {
			u[i] = uint16(data[2*i])<<8 | uint16(data[2*i+1])
		}
		return string(utf16.Decode(u)) // lone surrogates become U+FFFD
	}
	if utf8.Valid(data) {
		return string(data)
	}
	var s strings.Builder
	for _, c := range data {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c >= 0x7F && c < 0xA0 {
			s.WriteRune(utf8.RuneError)
		} else {
			s.WriteRune(rune(c))
		}
	}
	return s.String()
}
