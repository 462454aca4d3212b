package modem

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/warthog618/modem/info"
)

// checkSIM tells whether the SIM is usable and sets the state when it is not
// (TS 27.007 §8.3).
func (s *session) checkSIM(ctx context.Context) (bool, error) {
	r, err := s.ask(ctx, command{line: "AT+CPIN?", info: "+CPIN", limit: s.t.Storage})
	if err != nil {
		return false, err
	}
	state := parseCPIN(r.first())
	if !r.final.ok() {
		return s.noCPIN(ctx, r.final)
	}
	switch {
	case state == "READY", state == "SIM PIN2", state == "SIM PUK2", state == "":
		return true, s.simReady(ctx)
	case state == "SIM PIN":
		return s.enterPIN(ctx)
	case state == "SIM PUK":
		s.d.setState(SIMLocked, textPUK)
	case strings.HasPrefix(state, "PH-"):
		s.d.setState(SIMLocked, fmt.Sprintf(textPersonal, state))
	case strings.Contains(state, "NOT INSERTED"), strings.Contains(state, "NOT READY"):
		s.noSIM = true
		s.d.setState(SIMMissing, textSIMMissing)
	default:
		s.simBusy()
	}
	return false, nil
}

// simBusy waits for a SIM that is starting, and says so when it takes too long.
func (s *session) simBusy() {
	now := time.Now()
	if s.busySince.IsZero() {
		s.busySince = now
	}
	if now.Sub(s.busySince) > s.t.Poll {
		s.d.setState(SIMMissing, textSIMStuck)
		return
	}
	s.d.setState(Starting, textSIMBusy)
}

// noCPIN interprets an error in place of the state of the SIM.
func (s *session) noCPIN(ctx context.Context, f final) (bool, error) {
	code := f.code
	if f.kind == finalCMS && code >= 310 && code <= 316 {
		code = map[int]int{310: 10, 311: 11, 312: 5, 313: 13, 314: 14, 315: 15, 316: 12}[code]
	}
	switch code {
	case 10, 13, 15:
		s.simKnown, s.noSIM = false, true
		s.d.setState(SIMMissing, textSIMMissing)
		return false, nil
	case 11:
		return s.enterPIN(ctx)
	case 12:
		s.d.setState(SIMLocked, textPUK)
		return false, nil
	case 5, 6, 7:
		s.d.setState(SIMLocked, fmt.Sprintf(textPersonal, "PH-SIM"))
		return false, nil
	case 2, 14, 515: // 515: COMPAT(Sierra, Wavecom), initialising
		s.simBusy()
		return false, nil
	}
	// No +CPIN here, or a bare ERROR: a SIM that tells its number is usable.
	r, err := s.ask(ctx, command{line: "AT+CIMI", info: "+CIMI", bare: true})
	if err != nil {
		return false, err
	}
	if r.final.ok() {
		return true, s.simReady(ctx)
	}
	s.d.setState(SIMMissing, textSIMMissing)
	return false, nil
}

// simReady reads the SIM's identity once and journals a PIN that worked.
func (s *session) simReady(ctx context.Context) error {
	s.d.pinWorked()
	s.d.pinStop = "" // a modem that restarts asks again
	s.busySince = time.Time{}
	if s.simKnown {
		return nil
	}
	r, err := s.ask(ctx, command{line: "AT+CIMI", info: "+CIMI", bare: true})
	if err != nil {
		return err
	}
	imsi := ""
	if r.final.ok() {
		imsi = digits(identityValue(r.first(), "+CIMI"))
	}
	iccid, err := s.iccid(ctx)
	if err != nil {
		return err
	}
	number, err := s.ownNumber(ctx)
	if err != nil {
		return err
	}
	s.simKnown = true
	s.d.update(func(st *Status) { st.IMSI, st.ICCID, st.Number = imsi, iccid, number })
	return nil
}

// iccid reads the number on the card by the first command that answers.
func (s *session) iccid(ctx context.Context) (string, error) {
	cmds := []string{"+CCID", "+ICCID", "^ICCID?", "+QCCID", "#CCID"}
	if own := s.q.iccid; own != "" {
		cmds = append([]string{own}, slices.DeleteFunc(cmds, func(c string) bool { return c == own })...)
	}
	for _, c := range cmds {
		line := "AT" + c
		c = strings.TrimSuffix(c, "?")
		r, err := s.ask(ctx, command{line: line, info: c, bare: true})
		if err != nil {
			return "", err
		}
		if v := digits(identityValue(info.TrimPrefix(r.first(), "+ICCID"), c)); r.final.ok() && len(v) >= 18 {
			return v, nil
		}
	}
	return "", nil
}

// ownNumber reads the number that the SIM knows as its own; many know none (TS 27.007 §7.1).
func (s *session) ownNumber(ctx context.Context) (string, error) {
	r, err := s.ask(ctx, command{line: "AT+CNUM", info: "+CNUM"})
	if err != nil || !r.final.ok() {
		return "", err
	}
	for _, line := range r.lines {
		if n := parseCNUM(line); n != "" {
			return n, nil
		}
	}
	return "", nil
}

// parseCNUM reads "+CNUM: [<alpha>],<number>,<type>…".
func parseCNUM(line string) string {
	if !info.HasPrefix(line, "+CNUM") {
		return ""
	}
	f := param(line, "+CNUM")
	n := field(f, 1)
	d := strings.TrimPrefix(n, "+")
	switch {
	case d == "" || len(d) > 20 || digits(d) != d:
		return ""
	case strings.HasPrefix(n, "+"), field(f, 2) == "145":
		return "+" + d
	}
	return d
}

// digits takes the padding F off a number and refuses anything else.
func digits(s string) string {
	s = strings.TrimRight(s, "Ff")
	for _, r := range s {
		if r < '0' || r > '9' {
			return ""
		}
	}
	return s
}

// simName names the SIM for the guard. A locked SIM may not tell its number:
// then the modem stands for it, which keeps its name wherever it is plugged in.
func (s *session) simName(iccid string) string {
	switch imei := s.d.Status().IMEI; {
	case iccid != "":
		return iccid
	case imei != "":
		return "imei-" + imei
	}
	return s.d.cfg.Device
}

// pinWorked journals that the PIN sent last was right.
func (d *Driver) pinWorked() {
	if d.pinSent == "" {
		return
	}
	if err := d.cfg.Guard.Success(d.pinSIM, d.pinSent); err != nil {
		d.log.Error("modem: success of the PIN is not recorded", "err", err)
	}
	d.pinSent = ""
}

// enterPIN sends the PIN, once over the whole life of the box unless it
// worked: three wrong ones block the card.
func (s *session) enterPIN(ctx context.Context) (bool, error) {
	text, sim, left, err := s.mayEnterPIN(ctx)
	if err != nil {
		return false, err
	}
	d := s.d
	if text != "" {
		s.d.setState(SIMLocked, text)
		return false, nil
	}
	sum := sha256.Sum256([]byte(sim + "\x00" + d.cfg.PIN))
	hash := hex.EncodeToString(sum[:])
	if err := d.cfg.Guard.Attempt(sim, hash, left); err != nil {
		d.pinStop = textPINTried
		if errors.Is(err, ErrPINLast) {
			d.pinStop = textPINLast
		}
		d.log.Warn("modem: PIN is not sent", "err", err)
		d.setState(SIMLocked, d.pinStop)
		return false, nil
	}
	d.pinSIM, d.pinSent = sim, hash
	d.pinStop = textPINTried // should it be asked for again before it has worked
	d.pinUnsure = true
	// Not through ask: it must never be repeated.
	r, err := s.e.do(ctx, command{line: `AT+CPIN="` + s.d.cfg.PIN + `"`, info: "+CPIN", limit: s.t.List})
	if err == errTimeout {
		err = s.e.resync(ctx)
	}
	if err != nil {
		return false, err
	}
	if r.final.raw != "" {
		d.pinUnsure = false
		if !r.final.ok() {
			d.pinRefused()
		}
	}
	if r.final.kind == finalCME && (r.final.code == 16 || r.final.code == 12) {
		d.pinSent, d.pinStop = "", textPINWrong
		d.setState(SIMLocked, textPINWrong)
		return false, nil
	}
	if r.final.ok() && r.final.raw != "" {
		d.pinWorked()
	}
	d.setState(Starting, textSIMBusy) // the next look sees READY
	return false, nil
}

// pinRefused journals that the PIN sent last was not taken.
func (d *Driver) pinRefused() {
	if err := d.cfg.Guard.Refused(d.pinSIM, d.pinSent); err != nil {
		d.log.Error("modem: refusal of the PIN is not recorded", "err", err)
	}
}

// mayEnterPIN gives the sentence why the PIN is not sent, or the SIM's name and the attempts that are left. A PIN that got no
// answer, since the modem restarted or the power failed, is looked at once more.
func (s *session) mayEnterPIN(ctx context.Context) (text, sim string, left int, err error) {
	pin := s.d.cfg.PIN
	switch {
	case pin == "":
		return textPINWanted, "", 0, nil
	case len(pin) < 4 || len(pin) > 8 || digits(pin) != pin:
		return textPINBad, "", 0, nil
	case s.d.pinStop != "" && !s.d.pinUnsure:
		return s.d.pinStop, "", 0, nil
	case s.d.cfg.Guard == nil:
		return textPINNoGuard, "", 0, nil
	}
	s.d.pinUnsure = false
	id, err := s.iccid(ctx)
	if err != nil {
		return "", "", 0, err
	}
	if left, err = s.pinAttempts(ctx); err != nil {
		return "", "", 0, err
	}
	if left >= 0 && left <= 1 {
		return textPINFew, "", left, nil
	}
	return "", s.simName(id), left, nil
}

// pinAttempts asks how many wrong PINs the card still forgives; -1 when the
// modem does not tell. +CPINR is of TS 27.007 §8.65, the others are vendors' own.
func (s *session) pinAttempts(ctx context.Context) (int, error) {
	for _, q := range s.q.pinOrder() {
		r, err := s.ask(ctx, command{line: q.line, info: q.info})
		if err != nil {
			return -1, err
		}
		if !r.final.ok() {
			continue
		}
		for _, line := range r.lines {
			f := param(line, q.info)
			if q.info == "+CPINR" && !strings.EqualFold(f[0], "SIM PIN") {
				continue
			}
			if n := number(field(f, q.field)); n >= 0 {
				return n, nil
			}
		}
	}
	return -1, nil
}

// pinQuery asks for the attempts that are left.
type pinQuery struct {
	line, info string
	field      int
}

var pinQueries = []pinQuery{
	{"AT+CPINR", "+CPINR", 1},       // SIM PIN,3,3 on the first of several lines
	{`AT+QPINC="SC"`, "+QPINC", 1},  // "SC",3,10
	{"AT+SPIC", "+SPIC", 0},         // 3,10,3,10
	{"AT+UPINCNT", "+UPINCNT", 0},   // 3,3,10,10
	{"AT#PCT", "#PCT", 0},           // 3
	{"AT^SPIC", "^SPIC", 0},         // 3
	{"AT^CPIN?", "^CPIN", 3},        // SIM PIN,,10,3,10,3
	{"AT+CPINC?", "+CPINC", 0},      // 3,3,10,10
	{"AT+ZPINPUK=?", "+ZPINPUK", 0}, // 3,10
}

// pinOrder puts the family's own question first, and the standard's before the others.
func (q quirks) pinOrder() []pinQuery {
	own := func(p pinQuery) bool { return p.info == q.pins }
	out := slices.Clone(pinQueries)
	sort.SliceStable(out, func(i, j int) bool { return own(out[i]) && !own(out[j]) })
	return out
}
