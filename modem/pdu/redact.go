package pdu

// Redact takes what is private out of a TPDU: all characters of the text become
// x, all digits of the other side's number but the last two become 5, of a name
// all letters x. Lengths, header, coding, times and reference stay, so that the
// result decodes like the original. mo says that it is outgoing (SMS-SUBMIT).
// What cannot be taken apart keeps its first octet; the others become 0.
func Redact(tpdu []byte, mo bool) []byte {
	b := append([]byte(nil), tpdu...)
	at, ok := redactAddress(b, mo)
	if !ok {
		for i := 1; i < len(b); i++ {
			b[i] = 0
		}
		return b
	}
	if KindOf(b, mo) == KindStatusReport {
		clear(b[min(len(b), at+15):]) // behind SCTS, time and status there may be a text
		return b
	}
	if !mo {
		at += 9 // PID, DCS, SCTS
		redactText(b, at, at-8, b[0]&0x40 != 0)
		return b
	}
	vp := [4]int{0, 7, 1, 7}[b[0]>>3&3]
	redactText(b, at+2+vp, at+1, b[0]&0x40 != 0)
	return b
}

// redactAddress masks the number and returns where it ends (3GPP TS 23.040
// §9.1.2.5).
func redactAddress(b []byte, mo bool) (end int, ok bool) {
	at := 1
	if mo || len(b) > 0 && KindOf(b, mo) == KindStatusReport {
		at = 2 // behind TP-MR
	}
	if len(b) < at+2 {
		return 0, false
	}
	n := int(b[at])
	first := at + 2
	end = first + (n+1)/2
	if n > 40 || end > len(b) {
		return 0, false
	}
	if b[at+1]>>4&7 == 5 { // alphanumeric
		fill(b[first:end], 0, n*4/7)
		return end, true
	}
	for i := range n - 2 {
		p := first + i/2
		if i%2 == 0 {
			b[p] = b[p]&0xF0 | 5
		} else {
			b[p] = b[p]&0x0F | 0x50
		}
	}
	return end, true
}

// redactText masks TP-UD; at is the place of TP-UDL, dcs that of TP-DCS.
func redactText(b []byte, at, dcs int, header bool) {
	if at >= len(b) || dcs >= len(b) {
		return
	}
	size, ud := int(b[at]), b[at+1:]
	from := 0
	if header && len(ud) > 0 {
		from = min(1+int(ud[0]), len(ud))
	}
	switch readDCS(b[dcs]).alphabet {
	case GSM7:
		fill(ud, (from*8+6)/7, size)
	case UCS2:
		for i := from; i < len(ud); i++ {
			ud[i] = 'x' * byte((i-from)%2)
		}
	default:
		for i := from; i < len(ud); i++ {
			ud[i] = 'x'
		}
	}
	if readDCS(b[dcs]).alphabet == GSM7 && len(ud) > (size*7+7)/8 {
		clear(ud[(size*7+7)/8:])
	}
}

// fill writes the septets from a to b as x.
func fill(ud []byte, a, b int) {
	for i := a; i < b; i++ {
		for bit := range 7 {
			p := i*7 + bit
			if p/8 >= len(ud) {
				return
			}
			ud[p/8] = ud[p/8]&^(1<<(p%8)) | byte('x')>>bit&1<<(p%8)
		}
	}
}
