package sms

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"doorway/modem/pdu"
)

// named says what a TPDU is that is not a text for people, and the words that stand for it; "" for a text. data is
// the joined body, shown its text.
func named(d pdu.Deliver, modem string, data []byte, shown string) (kind, words string) {
	if k, w := voicemail(d, modem); k != "" {
		if s := strings.TrimSpace(shown); s != "" {
			w += " " + s
		}
		return k, w
	}
	switch {
	case d.Port == wapPush:
		return push(data)
	case d.Port >= 0 && d.Part.Alphabet != pdu.Data:
		return KindBinary, fmt.Sprintf("[A message for an application, %s] %s", portName(d.Port), shown)
	case d.Port >= 0:
		return KindBinary, fmt.Sprintf("[A binary message of %s for an application, %s. It cannot be shown.]", octets(data), portName(d.Port))
	case d.Part.Alphabet == pdu.Data && !readable(data):
		return KindBinary, fmt.Sprintf("[A binary message of %s. It cannot be shown.]", octets(data))
	case d.Class == pdu.Flash:
		return KindFlash, shown
	}
	return "", shown
}

func octets(b []byte) string {
	if len(b) == 1 {
		return "1 octet"
	}
	return fmt.Sprintf("%d octets", len(b))
}

// readable reports 8-bit data that is text all the same: four of five octets print in Latin-1 or UTF-8.
func readable(b []byte) bool {
	n := 0
	for _, c := range b {
		if c >= ' ' && c < 0x7F || c >= 0xA0 || c == '\n' || c == '\r' || c == '\t' {
			n++
		}
	}
	return n > 0 && (n*5 >= len(b)*4 || utf8.Valid(b) && bytes.IndexByte(b, 0) < 0)
}

// wapPush is the port of WAP push, by which notices of picture messages come (OMA WAP-259-WDP, MMS-ENC).
const wapPush = 2948

// portName names the usual ports (IANA; Smart Messaging of the nineties).
func portName(p int) string {
	switch p {
	case 226, 9204:
		return "a business card (vCard)"
	case 228, 9205:
		return "a calendar entry (vCalendar)"
	case 5505:
		return "a ringing tone"
	case 5506, 5507:
		return "an operator's logo"
	case 5514:
		return "a picture"
	case 9200, 9201, 9202, 9203:
		return "WAP"
	case 49996, 49999:
		return "settings of the operator"
	}
	return fmt.Sprintf("port %d", p)
}

// push names a WAP push. An M-Notification.ind is content type 0xBE or its name, then message type 0x82
// (OMA-MMS-ENC §6.2, §7); its location begins with http.
func push(b []byte) (kind, words string) {
	mms := bytes.Contains(b, []byte("application/vnd.wap.mms-message")) || len(b) > 3 && bytes.IndexByte(b[2:min(len(b), 12)], 0xBE) >= 0
	if !mms || !bytes.Contains(b, []byte{0x8C, 0x82}) {
		return KindBinary, fmt.Sprintf("[A WAP push message of %s. It cannot be shown.]", octets(b))
	}
	from := ""
	if i := bytes.Index(b, []byte("/TYPE=PLMN")); i > 0 {
		at := i
		for at > 0 && (b[at-1] >= '0' && b[at-1] <= '9' || b[at-1] == '+') {
			at--
		}
		from = string(b[at:i])
	}
	words = "[MMS notice: a picture message waits at the operator"
	if from != "" {
		words += ", from " + from
	}
	return KindMMS, words + ". This gateway cannot fetch it: ask for the picture by e-mail, or for the words as a text.]"
}

// voicemail reads a message waiting indication: a group of the data coding scheme (3GPP TS 23.038 §4), or the special
// message indication of the header (TS 23.040 §9.2.3.24.2).
func voicemail(d pdu.Deliver, modem string) (kind, words string) {
	what := func(t byte) string { return [...]string{"voicemail", "fax", "e-mail", "other message"}[t&3] }
	for _, ie := range d.Header {
		if ie.ID == 0x01 && len(ie.Data) == 2 {
			n, w := int(ie.Data[1]), what(ie.Data[0])
			switch {
			case n == 0:
				return KindVoicemail, fmt.Sprintf("[No %s waits any more for the SIM in %s.]", w, modem)
			case n == 1:
				return KindVoicemail, fmt.Sprintf("[1 %s waits for the SIM in %s. Call its mailbox.]", w, modem)
			}
			return KindVoicemail, fmt.Sprintf("[%d %ss wait for the SIM in %s. Call its mailbox.]", n, w, modem)
		}
	}
	if d.DCS < 0xC0 || d.DCS >= 0xF0 {
		return "", ""
	}
	if d.DCS&0x08 == 0 {
		return KindVoicemail, fmt.Sprintf("[No %s waits any more for the SIM in %s.]", what(d.DCS), modem)
	}
	return KindVoicemail, fmt.Sprintf("[A %s waits for the SIM in %s. Call its mailbox.]", what(d.DCS), modem)
}
