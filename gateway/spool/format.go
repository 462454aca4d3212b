package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"doorway/modem/pdu"
)

const (
	mostBytes      = 128 << 10
	mostRecipients = 1000
	mostHeaders    = 200
)

// message is an outgoing file.
type message struct {
	To                    []string // as ContactID takes them
	Text                  string
	Flash, Urgent, Report bool
	Validity              time.Duration // 0: as configured
	Via                   string        // modem
}

// fault is why a file is not sent, a sentence. An early one may be gone when the file is written to its end.
type fault struct {
	text  string
	early bool
}

func (f *fault) Error() string { return f.text }

func wrong(format string, a ...any) error { return &fault{text: fmt.Sprintf(format, a...)} }

// header is one line before the text.
type header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// split cuts a file at its first empty line. ended is false without one.
func split(b []byte) (head []header, body []byte, ended bool, err error) {
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		b = rest
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			return head, b, true, nil
		}
		if len(head) == mostHeaders {
			return nil, nil, false, wrong("There are more than %d lines before the first empty one. After the headers there must be an empty line, then the text.", mostHeaders)
		}
		if bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F }) {
			return nil, nil, false, wrong("The headers hold bytes that are not text. They must be written with an 8-bit character set, whatever the text is written with.")
		}
		name, value, ok := strings.Cut(string(line), ":")
		if !ok {
			name, value = "", string(line) // smsd passes it over, and so do we
		}
		head = append(head, header{name, strings.TrimSpace(value)})
	}
	return head, nil, false, nil
}

// unsupported are headers that would change what is sent; a boolean one only when it is true.
var unsupported = []struct {
	name    string
	boolean bool
	why     string
}{
	{"Binary", true, "binary messages are not sent"},
	{"Hex", true, "texts in hexadecimal are not read"},
	{"UDH", true, "user data headers are not sent"},
	{"UDH-DATA", false, "user data headers are not sent"},
	{"DCS_hex", false, "the coding scheme follows from the text"},
	{"System_message", false, "system messages are not sent"},
	{"Ping", true, "silent messages are not sent"},
	{"Replace", false, "messages that replace others are not sent"},
	{"Voicecall", true, "nobody is called"},
	{"Text_is_pdu", true, "ready-made PDUs are not sent"},
	{"Include", false, "other files are not read"},
	{"Macro", false, "macros are not replaced"},
}

// parse reads an outgoing file. The error is a *fault.
func parse(b []byte) (message, error) {
	var m message
	head, body, ended, err := split(b)
	if err != nil {
		return m, err
	}
	alphabet, whole, plain := "", false, false
	var to []string
	for _, h := range head {
		for _, u := range unsupported {
			if strings.EqualFold(h.Name, u.name) && h.Value != "" && (!u.boolean || yes(h.Value)) {
				return m, wrong("The header %s means nothing to doorway: %s. Leave it out.", u.name, u.why)
			}
		}
		switch strings.ToLower(h.Name) {
		case "to":
			to = append(to, strings.FieldsFunc(h.Value, func(r rune) bool { return r == ',' || r == ';' })...)
		case "to_toa":
			plain = !strings.EqualFold(h.Value, "international")
		case "alphabet":
			alphabet = strings.ToLower(h.Value)
		case "flash":
			m.Flash = m.Flash || yes(h.Value)
		case "class":
			if h.Value != "0" {
				return m, wrong("Class %.20s is not sent; only class 0, which is Flash: yes.", h.Value)
			}
			m.Flash = true
		case "priority":
			m.Urgent = strings.EqualFold(h.Value, "high")
		case "report":
			m.Report = yes(h.Value)
		case "provider", "queue":
			m.Via = h.Value
		case "autosplit":
			whole = h.Value == "0"
		case "validity":
			m.Validity = validity(h.Value)
		}
	}
	for _, t := range to {
		if t = recipient(t, plain); t != "" && !slices.Contains(m.To, t) {
			m.To = append(m.To, t)
		}
	}
	switch {
	case len(m.To) == 0:
		return m, &fault{"There is no line with a number, such as To: 491721234567.", !ended}
	case len(m.To) > mostRecipients:
		return m, wrong("There are %d recipients and at most %d in a file. Write several files.", len(m.To), mostRecipients)
	case !ended:
		return m, &fault{"There is no text. After the headers there must be an empty line, then the text.", true}
	}
	if m.Text, err = decode(body, alphabet); err != nil {
		return m, err
	}
	if m.Text == "" {
		return m, &fault{"The text after the empty line is empty.", true}
	}
	if n, _ := pdu.Parts(m.Text); whole && n > 1 {
		return m, wrong("The text needs %d parts, and Autosplit: 0 forbids to cut it. Shorten it, or leave Autosplit out.", n)
	}
	return m, nil
}

// yes reads a boolean: all other words are no (smstools, "SMS file format").
func yes(v string) bool {
	switch strings.ToLower(v) {
	case "yes", "true", "on", "1":
		return true
	}
	return false
}

// recipient makes of a number as smstools has it one as people here write it: without a plus it is international, and an s
// before it says that it is a short one. plain leaves it alone otherwise. In an address of mail the number is in the name.
func recipient(v string, plain bool) string {
	if i := strings.IndexByte(v, '<'); i > 0 {
		v = v[:i]
		if i := strings.IndexAny(v, "+0123456789"); i >= 0 {
			v = v[i:]
		}
		v = strings.Trim(v, `"' `)
	}
	v = strings.TrimSpace(v)
	bare := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -./()", r) {
			return -1
		}
		return r
	}, v)
	if short := strings.TrimLeft(bare, "sS"); len(short)+1 == len(bare) && strings.Trim(short, "0123456789") == "" {
		return short
	}
	// Nobody's number is shorter than a country code and a subscriber: what is, is a short code whose s was forgotten.
	if !plain && len(bare) > 6 && bare[0] != '0' && strings.Trim(bare, "0123456789") == "" {
		return "+" + bare
	}
	return v
}

// validity reads "2 days", or smstools' relative value; 0 for what it cannot read, as smstools does.
func validity(v string) time.Duration {
	v = strings.ToLower(v)
	digits := strings.TrimFunc(v, func(r rune) bool { return r < '0' || r > '9' })
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || n > 1e6 {
		return 0
	}
	const day = 24 * time.Hour
	for _, u := range []struct {
		word string
		unit time.Duration
	}{{"min", time.Minute}, {"hour", time.Hour}, {"day", day}, {"week", 7 * day}, {"month", 30 * day}, {"year", 365 * day}} {
		if strings.Contains(v, u.word) {
			return max(min(time.Duration(n)*u.unit, 63*7*day), time.Minute)
		}
	}
	// 3GPP TS 23.040 §9.2.3.12.1
	k := time.Duration(n)
	switch {
	case digits != v || n > 255:
		return 0
	case n <= 143:
		return (k + 1) * 5 * time.Minute
	case n <= 167:
		return 12*time.Hour + (k-143)*30*time.Minute
	case n <= 196:
		return (k - 166) * day
	}
	return (k - 192) * 7 * day
}

// decode reads a text. Only the first three letters of the alphabet count (smstools, "SMS file format").
func decode(b []byte, alphabet string) (string, error) {
	kind := alphabet
	if len(kind) > 3 {
		kind = kind[:3]
	}
	switch kind {
	case "gsm":
		return strings.TrimRight(pdu.FromSeptets(bytes.TrimRight(b, "\r\n")), " "), nil
	case "ucs", "chi", "uni":
		if len(b)%2 == 1 && b[len(b)-1] == '\n' { // an editor's
			b = b[:len(b)-1]
		}
		if len(b)%2 == 1 {
			return "", wrong("The text has an odd number of bytes, so it is not UCS-2. Write Alphabet: UTF-8, or the text in UTF-16 (big endian).")
		}
		order := binary.ByteOrder(binary.BigEndian)
		if bytes.HasPrefix(b, []byte{0xFF, 0xFE}) {
			order = binary.LittleEndian
		}
		u := make([]uint16, len(b)/2)
		for i := range u {
			u[i] = order.Uint16(b[2*i:])
		}
		return tidy(strings.TrimPrefix(string(utf16.Decode(u)), "\uFEFF")), nil
	case "utf":
		if !utf8.Valid(b) {
			return "", wrong("The text is not UTF-8, although Alphabet says so.")
		}
		return tidy(string(b)), nil
	case "", "iso", "lat", "ans":
		if utf8.Valid(b) { // outgoing_utf8 = yes, smsd's default
			return tidy(string(b)), nil
		}
		return tidy(fromLatin(b)), nil
	case "bin":
		return "", wrong("Binary messages are not sent. Alphabet is UTF-8, ISO, UCS2 or GSM.")
	}
	return "", wrong("There is no alphabet %.20q. It is UTF-8, ISO, UCS2 or GSM.", alphabet)
}

// tidy is smsd's trim_text, and one kind of line end.
func tidy(s string) string {
	return strings.TrimRight(strings.ReplaceAll(s, "\r\n", "\n"), " \t\r\n")
}

// latin9 are the characters in which ISO-8859-15 is not the beginning of Unicode.
var latin9 = map[byte]rune{0xA4: '€', 0xA6: 'Š', 0xA8: 'š', 0xB4: 'Ž', 0xB8: 'ž', 0xBC: 'Œ', 0xBD: 'œ', 0xBE: 'Ÿ'}

func fromLatin(b []byte) string {
	var w strings.Builder
	for _, c := range b {
		r := rune(c)
		if l, ok := latin9[c]; ok {
			r = l
		}
		w.WriteRune(r)
	}
	return w.String()
}

// toLatin writes ISO-8859-15; ok is false when that lacks a character.
func toLatin(s string) (b []byte, ok bool) {
next:
	for _, r := range s {
		for c, l := range latin9 {
			if l == r {
				b = append(b, c)
				continue next
			}
		}
		if _, other := latin9[byte(r)]; r > 0xFF || other {
			return nil, false
		}
		b = append(b, byte(r))
	}
	return b, true
}

// ours are the headers that a file gets when it is sent or has failed; older ones of it go.
var ours = []string{"Modem", "IMSI", "IMEI", "Sent", "Sending_time", "Message_id", "Failed", "Fail_reason", "NOTICE"}

// compose is a file as it is kept: with more headers, and, unless to is nil, with other recipients.
func compose(file []byte, to []string, more []header) []byte {
	head, body, ended, err := split(file)
	if err != nil {
		head, body, ended = nil, file, true
	}
	var w bytes.Buffer
	if to != nil {
		fmt.Fprintf(&w, "To: %s\n", strings.Join(to, ", "))
	}
	for _, h := range head {
		switch {
		case h.Name == "" && h.Value == "": // it would end the headers
		case h.Name == "":
			fmt.Fprintf(&w, "%s\n", h.Value)
		case slices.ContainsFunc(ours, func(o string) bool { return strings.EqualFold(o, h.Name) }):
		case to != nil && strings.EqualFold(h.Name, "To"):
		default:
			fmt.Fprintf(&w, "%s: %s\n", h.Name, h.Value)
		}
	}
	writeHeaders(&w, more)
	if ended {
		w.WriteByte('\n')
		w.Write(body)
	}
	return w.Bytes()
}

func writeHeaders(w *bytes.Buffer, head []header) {
	for _, h := range head {
		if h.Value != "" {
			fmt.Fprintf(w, "%s: %s\n", h.Name, strings.Join(strings.Fields(h.Value), " ")) // one line
		}
	}
}

// stamp writes a time as smstools does.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("06-01-02 15:04:05")
}
