package pdu

import (
	"fmt"
	"time"
)

// Deliver is an incoming message or a part of one.
type Deliver struct {
	From         Number
	Time         time.Time // service centre time stamp with its zone; zero when unreadable. Never for ordering.
	RawTime      [7]byte
	PID, DCS     byte
	More         bool // the network has more messages waiting
	ReplyPath    bool
	ReportWanted bool // TP-SRI
	Class        Class
	Compressed   bool // not decoded: the text is unreadable
	Port         int  // application port, -1 for a text for people
	Part         Part
	Header       []IE
	Remarks      []string // what was odd, for the log
}

// Text decodes this part on its own; for a message of several parts use Join.
func (d Deliver) Text() string { return Join([]Part{d.Part}) }

// Silent reports a message of type 0 (TP-PID 0x40), to be acknowledged and
// dropped (3GPP TS 23.040 §9.2.3.9).
func (d Deliver) Silent() bool { return d.PID == 0x40 }

// DecodeDeliver reads a DELIVER TPDU (3GPP TS 23.040 §9.2.2.1). It fails only
// when the sender or the fixed fields are missing, or on another type.
func DecodeDeliver(tpdu []byte) (Deliver, error) {
	d := Deliver{Port: -1}
	if len(tpdu) < 1 {
		return d, ErrShort
	}
	if KindOf(tpdu, false) != KindDeliver {
		return d, ErrKind
	}
	first := tpdu[0]
	d.More = first&0x04 == 0
	d.ReportWanted = first&0x20 != 0
	d.ReplyPath = first&0x80 != 0
	from, rest, err := readAddress(tpdu[1:])
	if err != nil {
		return d, fmt.Errorf("sender: %w", err)
	}
	d.From = from
	if len(rest) < 9 {
		return d, ErrShort
	}
	d.PID, d.DCS = rest[0], rest[1]
	copy(d.RawTime[:], rest[2:9])
	u := readUserData(rest[9:], d.DCS, first&0x40 != 0)
	if d.Time, err = readTime(rest[2:9]); err != nil {
		u.remark(err.Error())
	}
	if first&3 == 3 {
		u.remark("reserved message type")
	}
	d.Class, d.Compressed, d.Port = u.class, u.compressed, u.port
	d.Part, d.Header, d.Remarks = u.part(), u.ies, u.remarks
	return d, nil
}

// DeliverOptions of EncodeDeliver.
type DeliverOptions struct {
	From     Number // Alphanumeric is allowed
	Time     time.Time
	Ref      uint16
	WideRef  bool // 16-bit reference; phones mostly use 8 bits
	Class    Class
	PID      byte
	MaxParts int
}

// EncodeDeliver makes the DELIVER TPDUs of a text, as a service centre does;
// an empty text gives one empty message.
func EncodeDeliver(text string, o DeliverOptions) ([][]byte, error) {
	a, texts, err := GSM7, []string{""}, error(nil)
	if text != "" {
		if a, texts, err = pieces(text, o.WideRef, o.MaxParts); err != nil {
			return nil, err
		}
	}
	out := make([][]byte, len(texts))
	for i, s := range texts {
		c := Options{Ref: o.Ref, NarrowRef: !o.WideRef}.concat(i, len(texts))
		if out[i], err = encodeDeliver(o, c, a, encodeBody(a, s)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Forward turns one submitted part into the DELIVER that its recipient gets:
// header, coding and data stay as they are.
func (s Submit) Forward(from Number, at time.Time) ([]byte, error) {
	b := []byte{0x04}
	b, err := appendAddress(b, from)
	if err != nil {
		return nil, err
	}
	b = append(b, s.PID, s.DCS)
	b = appendTime(b, at)
	var h []byte
	for _, e := range s.Header {
		h = append(append(h, e.ID, byte(len(e.Data))), e.Data...)
	}
	if len(h) == 0 {
		return appendUserData(b, Concat{}, body{s.Part.Alphabet, s.Part.Data}), nil
	}
	b[0] |= 0x40
	h = append([]byte{byte(len(h))}, h...)
	if s.Part.Alphabet != GSM7 {
		b = append(b, byte(len(h)+len(s.Part.Data)))
		return append(append(b, h...), s.Part.Data...), nil
	}
	skip := (len(h)*8 + 6) / 7
	b = append(b, byte(skip+len(s.Part.Data)))
	return appendPacked(append(b, h...), s.Part.Data, skip*7-len(h)*8), nil
}

func encodeDeliver(o DeliverOptions, c Concat, a Alphabet, p body) ([]byte, error) {
	first := byte(0x04) // TP-MMS: nothing more waits
	if c.Total > 1 {
		first |= 0x40
	}
	b, err := appendAddress([]byte{first}, o.From)
	if err != nil {
		return nil, err
	}
	b = append(b, o.PID, makeDCS(a, o.Class))
	b = appendTime(b, o.Time)
	return appendUserData(b, c, p), nil
}
