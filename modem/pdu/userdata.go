package pdu

// Concat is a part's place in a message of several parts (3GPP TS 23.040
// §9.2.3.24.1 and .8). The zero value means a message of one part.
type Concat struct {
	Ref   uint16
	Wide  bool // the reference has 16 bits
	Total int  // 1 to 255
	Seq   int  // 1 to Total
}

// IE is an information element of the user data header.
type IE struct {
	ID   byte
	Data []byte
}

// userData is TP-UD taken apart; data is one septet in each byte for GSM7.
type userData struct {
	coding
	lang    language
	concat  Concat
	ies     []IE
	port    int // destination port of application port addressing; -1 without
	data    []byte
	remarks []string
}

// readUserData reads TP-UDL and TP-UD. Nothing in here is an error: a body cut
// short gives what there is, octets behind it are dropped, a header that does
// not fit is read as text.
func readUserData(b []byte, dcs byte, udhi bool) userData {
	u := userData{coding: readDCS(dcs), port: -1}
	if u.odd {
		u.remark("reserved data coding scheme")
	}
	if u.compressed {
		u.remark("compressed text")
		u.alphabet = Data
	}
	if len(b) == 0 {
		u.remark("no user data length")
		return u
	}
	size, ud := int(b[0]), b[1:]
	octets := size
	if u.alphabet == GSM7 {
		octets = (size*7 + 7) / 8
	}
	if len(ud) > octets {
		u.remark("octets behind the user data")
		ud = ud[:octets]
	} else if len(ud) < octets {
		u.remark("user data cut short")
	}
	header := 0
	if udhi && len(ud) > 0 {
		if n := int(ud[0]) + 1; n <= len(ud) {
			header = n
			u.readHeader(ud[1:n])
		} else {
			u.remark("user data header longer than the user data")
		}
	}
	switch u.alphabet {
	case GSM7:
		skip := (header*8 + 6) / 7
		u.data = unpack(ud[header:], max(size-skip, 0), skip*7-header*8)
	case UCS2:
		u.data = ud[header:]
		if len(u.data)%2 == 1 {
			u.remark("odd number of octets")
			u.data = u.data[:len(u.data)-1]
		}
	default:
		u.data = ud[header:]
	}
	return u
}

func (u *userData) remark(s string) { u.remarks = append(u.remarks, s) }

func (u *userData) readHeader(b []byte) {
	for len(b) > 0 {
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			u.remark("information element cut short")
			return
		}
		e := IE{ID: b[0], Data: b[2 : 2+int(b[1])]}
		b = b[2+len(e.Data):]
		u.ies = append(u.ies, e)
		switch d := e.Data; {
		case e.ID == 0x00 && len(d) == 3:
			u.place(Concat{Ref: uint16(d[0]), Total: int(d[1]), Seq: int(d[2])})
		case e.ID == 0x08 && len(d) == 4:
			u.place(Concat{Ref: uint16(d[0])<<8 | uint16(d[1]), Wide: true, Total: int(d[2]), Seq: int(d[3])})
		case e.ID == 0x04 && len(d) == 2:
			u.port = int(d[0])
		case e.ID == 0x05 && len(d) == 4:
			u.port = int(d[0])<<8 | int(d[1])
		case e.ID == 0x24 && len(d) == 1:
			u.lang.single = d[0]
		case e.ID == 0x25 && len(d) == 1:
			u.lang.locking = d[0]
		}
	}
}

func (u *userData) place(c Concat) {
	if c.Total == 0 || c.Seq == 0 || c.Seq > c.Total {
		u.remark("impossible part number") // TS 23.040 §9.2.3.24.1: ignore the element
		return
	}
	u.concat = c
}

func (u *userData) part() Part {
	return Part{Concat: u.concat, Alphabet: u.alphabet, Data: u.data, lang: u.lang}
}

// body is what one part carries, before the header is put in front.
type body struct {
	alphabet Alphabet
	data     []byte // septets, or octets
}

// appendUserData writes TP-UDL and TP-UD.
func appendUserData(b []byte, c Concat, p body) []byte {
	var h []byte
	if c.Total > 1 {
		if c.Wide {
			h = []byte{6, 0x08, 4, byte(c.Ref >> 8), byte(c.Ref), byte(c.Total), byte(c.Seq)}
		} else {
			h = []byte{5, 0x00, 3, byte(c.Ref), byte(c.Total), byte(c.Seq)}
		}
	}
	if p.alphabet != GSM7 {
		b = append(b, byte(len(h)+len(p.data)))
		return append(append(b, h...), p.data...)
	}
	skip := (len(h)*8 + 6) / 7
	b = append(b, byte(skip+len(p.data)))
	return appendPacked(append(b, h...), p.data, skip*7-len(h)*8)
}
