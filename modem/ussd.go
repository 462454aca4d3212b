package modem

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"doorway/modem/pdu"
)

// Reply is the network's answer to a USSD code (3GPP TS 27.007 §7.15).
type Reply struct {
	Text string `json:"text"`
	// More: the network waits for an answer, which the next call of USSD gives.
	More bool `json:"more,omitempty"`
}

// TalkError says why there is no answer to a code; Text is a sentence for people.
type TalkError struct {
	Text  string
	Usage bool // the code itself is wrong
}

func (e *TalkError) Error() string { return e.Text }

// dialogue is a USSD dialogue. It belongs to Run.
type dialogue struct {
	done  func(Reply, error) // called once by Run's goroutine; nil: the network waits for a person
	until time.Time
}

func (t *dialogue) due(now time.Time) bool { return !now.Before(t.until) }

// USSD asks the network by a code such as *100#, or answers the question it has
// asked, and waits for what it says. It takes its turn between parts, and texts
// are sent while the answer is awaited. There is one dialogue at a time. Errors
// are *TalkError, ErrDown and ctx's.
func (d *Driver) USSD(ctx context.Context, code string) (Reply, error) {
	if err := checkCode(code); err != nil {
		return Reply{}, err
	}
	type outcome struct {
		r   Reply
		err error
	}
	out := make(chan outcome, 1)
	for {
		wait := false
		err := d.submit(ctx, func(ctx context.Context, s *session) error {
			if wait = s.inBurst(); wait {
				return nil
			}
			return s.talk(ctx, code, func(r Reply, err error) { out <- outcome{r, err} })
		})
		switch {
		case err != nil:
			return Reply{}, err
		case !wait:
			select {
			case o := <-out:
				return o.r, o.err
			case <-ctx.Done():
				return Reply{}, ctx.Err() // the answer is dropped when it comes
			}
		}
		select {
		case <-time.After(50 * time.Millisecond): // the parts that follow each other come first
		case <-ctx.Done():
			return Reply{}, ctx.Err()
		}
	}
}

// checkCode refuses what cannot stand in a command line.
func checkCode(code string) error {
	if code == "" || len(code) > 160 {
		return &TalkError{Usage: true, Text: "A USSD code has 1 to 160 characters, for example *100#."}
	}
	for i := range len(code) {
		if c := code[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return &TalkError{Usage: true, Text: fmt.Sprintf("The USSD code %q holds a character that cannot be sent; codes are made of digits, * and #.", code)}
		}
	}
	return nil
}

// Forms in which modems want a code, in the usual order.
const (
	ussdPlain  = iota // as it is
	ussdUCS2          // UCS-2 in hex digits
	ussdPacked        // packed septets in hex digits
	ussdForms
)

// talk sends a code; done is called with the answer, or with the reason why none comes.
func (s *session) talk(ctx context.Context, code string, done func(Reply, error)) error {
	d := s.d
	switch {
	case d.talk != nil && d.talk.done != nil:
		done(Reply{}, &TalkError{Text: "Another USSD code is being asked for at this modem. Try again when it has its answer."})
		return nil
	case !s.isReady():
		done(Reply{}, fmt.Errorf("%w: %s", ErrDown, d.Status().Text))
		return nil
	}
	forms := []int{s.ussdForm, ussdPlain, ussdUCS2, ussdPacked}
	if s.q.packed && s.ussdForm == ussdPlain {
		forms[0] = ussdPacked
	}
	tried := [ussdForms]bool{}
	raw := ""
	for _, form := range forms {
		if tried[form] {
			continue
		}
		tried[form] = true
		// It is set before the command: the answer may come before its OK.
		d.talk = &dialogue{done: done, until: time.Now().Add(s.t.Dialogue)}
		f, err := s.writeCode(ctx, code, form)
		if err != nil {
			return err // the end of the session answers
		}
		if f.ok() || d.talk == nil {
			s.ussdForm = form
			return nil
		}
		raw = f.raw
		if f.kind == finalCME && classCME(f.code, false) != ClassConfig && classCME(f.code, false) != ClassModem {
			break // the network's refusal, not that of the form
		}
	}
	d.talk = nil
	done(Reply{}, &TalkError{Text: fmt.Sprintf("The modem refuses the USSD code (%s). Not every modem and network has USSD, LTE ones often do not; check the code with the provider.", raw)})
	return nil
}

// writeCode sends a code in one form.
func (s *session) writeCode(ctx context.Context, code string, form int) (final, error) {
	text := code
	switch form {
	case ussdUCS2:
		if ok, err := s.set(ctx, `AT+CSCS="UCS2"`, 0); err != nil || !ok {
			return final{kind: finalOther, code: -1, raw: "no UCS2"}, err
		}
		text = ""
		for _, u := range utf16.Encode([]rune(code)) {
			text += fmt.Sprintf("%04X", u)
		}
	case ussdPacked:
		b, ok := pdu.Pack(code)
		if !ok {
			return final{kind: finalOther, code: -1, raw: "not in the alphabet"}, nil
		}
		text = strings.ToUpper(hex.EncodeToString(b))
	}
	r, err := s.ask1(ctx, command{line: `AT+CUSD=1,"` + text + `",15`, limit: s.t.Storage})
	if err == nil && form == ussdUCS2 {
		_, err = s.set(ctx, `AT+CSCS="GSM"`, 0)
	}
	return r.final, err
}

// ask1 is ask for a command that must not be repeated.
func (s *session) ask1(ctx context.Context, c command) (result, error) {
	r, err := s.e.do(ctx, c)
	if err != errTimeout {
		return r, err
	}
	r = result{final: final{kind: finalNone, code: -1, raw: "no answer"}}
	return r, s.e.resync(ctx)
}

// heardTalk takes a +CUSD.
func (d *Driver) heardTalk(line string) {
	status, text, ok := parseCUSD(line)
	t := d.talk
	if !ok {
		return
	}
	if t == nil || t.done == nil {
		d.log.Info("modem: the network speaks by USSD, nobody has asked", "status", status)
		if status == 1 && t == nil { // it is hung up at the next look
			d.talk = &dialogue{until: time.Now()}
		}
		return
	}
	d.talk = nil
	switch {
	case status == 1:
		// It waits for an answer; without one it is hung up, since it may cost money.
		d.talk = &dialogue{until: time.Now().Add(d.cfg.Timeouts.Dialogue / 2)}
		t.done(Reply{Text: text, More: true}, nil)
	case status == 0, status == 2 && text != "":
		t.done(Reply{Text: text}, nil)
	default:
		t.done(Reply{}, &TalkError{Text: map[int]string{
			2: "The network has ended the USSD dialogue without an answer. Check the code with the provider.",
			3: "The network is busy with another USSD dialogue of this SIM card. Try again in a minute.",
			4: "The network does not know this USSD code, or has no USSD. Check the code with the provider.",
			5: "The network has not answered the USSD code in time. Try again in a minute.",
		}[min(max(status, 2), 5)]})
	}
}

// endTalk hangs up a dialogue whose time is over.
func (s *session) endTalk(ctx context.Context) error {
	s.d.hangTalk(&TalkError{Text: "The network has not answered the USSD code in time. Try again in a minute."})
	_, err := s.set(ctx, "AT+CUSD=2", s.t.Storage)
	return err
}

// hangTalk ends the dialogue for who waits for it.
func (d *Driver) hangTalk(err error) {
	t := d.talk
	d.talk = nil
	if t != nil && t.done != nil {
		t.done(Reply{}, err)
	}
}

// parseCUSD reads "+CUSD: <m>[,<str>[,<dcs>]]".
func parseCUSD(line string) (status int, text string, ok bool) {
	head, rest, _ := strings.Cut(line, ":")
	if !strings.EqualFold(head, "+CUSD") {
		return 0, "", false
	}
	m, rest, _ := strings.Cut(strings.TrimSpace(rest), ",")
	if status = number(m); status < 0 {
		return 0, "", false
	}
	rest = strings.TrimSpace(rest)
	dcs := 15
	if i := strings.LastIndexByte(rest, '"'); i > 0 && rest[0] == '"' {
		if n := number(strings.TrimPrefix(strings.TrimSpace(rest[i+1:]), ",")); n >= 0 && n < 256 {
			dcs = n
		}
		rest = rest[1:i]
	} else if t, d, cut := strings.Cut(rest, ","); cut { // COMPAT: without quotes
		if n := number(d); n >= 0 && n < 256 {
			rest, dcs = t, n
		}
	}
	return status, ussdText(rest, byte(dcs)), true
}

// ussdText reads the text of +CUSD, which comes as it is, as UCS-2 or as packed
// septets in hex digits: the data coding scheme (TS 23.038 §5) and the shape
// decide, since many modems give one that does not fit.
func ussdText(s string, dcs byte) string {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) < 2 {
		return cleanText(s)
	}
	ucs2 := dcs == 0x11 || dcs&0xC0 == 0x40 && dcs>>2&3 == 2
	octets := dcs&0xC0 == 0x40 && dcs>>2&3 == 1 || dcs&0xF4 == 0xF4
	switch {
	case ucs2 && len(b)%2 == 0, looksUCS2(b):
		u := make([]uint16, len(b)/2)
		for i := range u {
			u[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
		}
		return cleanText(string(utf16.Decode(u)))
	case octets:
		return cleanText(string(b))
	}
	if text := pdu.Unpack(b); looksWritten(text) {
		return cleanText(text)
	}
	return cleanText(s)
}

// looksUCS2 tells hex of UCS-2 from other hex: most of its high octets are the same.
func looksUCS2(b []byte) bool {
	if len(b)%2 != 0 || len(b) < 4 {
		return false
	}
	var n [256]int
	best := 0
	for i := 0; i < len(b); i += 2 {
		n[b[i]]++
		best = max(best, n[b[i]])
	}
	return best*4 >= len(b)/2*3 && (n[0] == best || n[4] == best || n[6] == best || n[3] == best || n[5] == best)
}

// looksWritten tells a text from digits that were unpacked by mistake.
func looksWritten(s string) bool {
	good, all := 0, 0
	for _, r := range s {
		all++
		if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" .,:;-+*#/()!?%\n\r'\"", r)) {
			good++
		}
	}
	return all >= 3 && good*10 >= all*9
}

// cleanText keeps what can be shown.
func cleanText(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > 2048 {
		s = strings.ToValidUTF8(s[:2048], "")
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, strings.ReplaceAll(s, "\r\n", "\n")))
}

// errNoAmount says that the network's answer holds no amount.
var errNoAmount = errors.New("no amount in the answer")
