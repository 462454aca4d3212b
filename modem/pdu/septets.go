package pdu

// Pack writes a text as packed septets, seven bits each, as USSD has it (3GPP
// TS 23.038 §6.1.2.3): where seven bits are left over they hold a carriage
// return. ok is false when the default alphabet lacks a character.
func Pack(s string) (b []byte, ok bool) {
	septets, ok := toSeptets(s)
	if !ok {
		return nil, false
	}
	if len(septets)%8 == 7 {
		septets = append(septets, '\r')
	}
	return appendPacked(nil, septets, 0), true
}

// Unpack reads packed septets of USSD.
func Unpack(b []byte) string {
	septets := unpack(b, len(b)*8/7, 0)
	if n := len(septets); n > 0 && n%8 == 0 && septets[n-1] == '\r' {
		septets = septets[:n-1]
	}
	return fromSeptets(septets, language{})
}

// FromSeptets reads text of the default alphabet with one septet in each byte; the upper bit is ignored.
func FromSeptets(b []byte) string { return fromSeptets(b, language{}) }
