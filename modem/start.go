package modem

import (
	"context"
	"strings"
	"time"

	"github.com/warthog618/modem/info"
)

// start brings a modem of unknown condition to where commands match answers
// and its settings are ours; then it goes on as far as the SIM and the network
// allow. It runs at each opening of the port and after each restart of the
// modem. Settings that are refused are lived without: only silence and a
// refused PDU mode end it.
func (s *session) start(ctx context.Context) error {
	s.d.setState(Starting, textStarting)
	s.restart, s.setUp, s.simKnown, s.waits, s.mem1 = false, false, false, 0, ""
	s.d.epoch++
	if s.starts++; s.starts == 1 || time.Since(s.started) > s.t.Poll {
		s.starts, s.started = 1, time.Now()
	}
	if s.starts > 5 {
		return errReset
	}
	if err := hello(ctx, s.e); err != nil {
		return err
	}
	for _, line := range []string{"ATE0", "ATV1", "ATQ0"} {
		ok, err := s.set(ctx, line, 0)
		if err != nil {
			return err
		}
		if line == "ATE0" {
			s.e.echoOff = ok
		}
	}
	for _, line := range []string{"AT+CMEE=1", "AT+CMEE=2"} {
		if ok, err := s.set(ctx, line, 0); err != nil || ok {
			if err != nil {
				return err
			}
			break
		}
	}
	// A drop of DTR does no harm afterwards.
	if _, err := s.set(ctx, "AT&D0", 0); err != nil {
		return err
	}
	if err := s.identity(ctx); err != nil {
		return err
	}
	s.d.remember()
	// A stored profile may have names and numbers come in hex digits (TS 27.007 §5.5).
	if ok, err := s.set(ctx, `AT+CSCS="GSM"`, 0); err != nil || !ok {
		if err != nil {
			return err
		}
		if _, err := s.set(ctx, `AT+CSCS="IRA"`, 0); err != nil {
			return err
		}
	}
	for _, line := range s.q.init {
		if _, err := s.set(ctx, line, 0); err != nil {
			return err
		}
	}
	return s.advance(ctx)
}

// hello ends whatever the modem was in the middle of and waits for a sign of
// life. ESC cancels a prompt left open by a process that died; Ctrl-Z is never
// used for that, it would send half a message (TS 27.005 §4.3).
func hello(ctx context.Context, e *engine) error {
	e.tok.disarm()
	e.echoOff, e.echoed, e.unechoed = false, false, 0
	e.push, e.urcs, e.stray, e.half = nil, nil, time.Time{}, ""
	if _, err := e.write("\x1b\r"); err != nil {
		return err
	}
	if err := e.listen(ctx, e.quiet/3); err != nil {
		return err
	}
	e.tok.reset()
	for try := range 5 {
		if _, err := e.write("AT\r"); err != nil {
			return err
		}
		deadline := time.Now().Add(e.quiet)
		e.busy(deadline)
		for {
			t, err := e.next(ctx, deadline)
			if err == errTimeout {
				break
			}
			if err != nil {
				return err
			}
			if _, ok := parseFinal(t.text); !ok && t.text != "0" && t.text != "4" { // numeric form of ATV0
				if !strings.EqualFold(t.text, "AT") {
					e.file(t)
				}
				continue
			}
			if e.isStray(t.text) {
				continue
			}
			if try == 0 {
				// It may be the answer to an earlier process: then ours follows.
				more, err := e.silence(ctx, e.quiet*2/3)
				if err != nil || more == 0 {
					return err
				}
			}
			// Several AT are on their way: more than one answer may be.
			if err := e.resync(ctx); err != errNoSync {
				return err
			}
		}
	}
	return errSilent
}

// identity reads who made the modem (TS 27.007 §5.1 to §5.4).
func (s *session) identity(ctx context.Context) error {
	var v [4]string
	for i, c := range []string{"+CGMI", "+CGMM", "+CGMR", "+CGSN"} {
		r, err := s.ask(ctx, command{line: "AT" + c, info: c, bare: true})
		if err != nil {
			return err
		}
		if r.final.ok() {
			v[i] = identityValue(r.first(), c)
		}
	}
	old := s.d.Status().IMEI
	if old != "" && v[3] != "" && old != v[3] {
		s.d.log.Warn("another modem is at the port", "device", s.d.Status().Device)
	}
	s.q = quirksOf(v[0], v[1])
	s.noList = s.noList || s.q.walk
	s.d.update(func(st *Status) {
		st.Manufacturer, st.Model, st.Firmware, st.IMEI, st.Family = v[0], v[1], v[2], v[3], s.q.family
	})
	return nil
}

// identityValue takes prefix, quotes and length limit care of a line of identity.
func identityValue(line, prefix string) string {
	s := strings.Trim(info.TrimPrefix(line, prefix), "\" \t")
	if len(s) > 80 {
		s = s[:80]
	}
	return strings.ToValidUTF8(s, "?")
}

// advance goes through SIM, SMS settings and network as far as they are, and
// sets the state. It is called again until all is well, and at each poll.
func (s *session) advance(ctx context.Context) error {
	s.checkDue = false
	// A thirtieth of the poll interval, 2 s by default.
	s.nextLook = time.Now().Add(s.t.Poll / 30)
	s.nextCheck = time.Now().Add(s.t.Poll / 60)
	if ok, err := s.checkSIM(ctx); err != nil || !ok {
		return err
	}
	if !s.setUp {
		if ok, err := s.smsIsReady(ctx); err != nil || !ok {
			return err
		}
		if err := s.settings(ctx); err != nil {
			return err
		}
		s.setUp, s.drainDue = true, true
	}
	before := s.d.Status().State
	st, text, err := s.checkNetwork(ctx)
	if err != nil {
		return err
	}
	if st == Ready && s.noSMSC {
		text = textSMSC
	}
	if st == Ready && before != Ready {
		s.drainDue = true
		s.nextPoll = time.Now().Add(s.t.Poll / 2)
	}
	s.d.setState(st, text)
	return nil
}

// smsIsReady tells whether the message storage answers: modems take up to a
// minute after the PIN. After as many looks as fill a minute it is not awaited
// any more, since some modems have no +CPMS.
func (s *session) smsIsReady(ctx context.Context) (bool, error) {
	r, err := s.ask(ctx, command{line: "AT+CPMS?", info: "+CPMS", limit: s.t.Command})
	if err != nil {
		return false, err
	}
	unsaid := s.booted && s.q.says != "" && s.waits < 15 // it answers before it works
	if r.final.ok() && !unsaid || s.smsReady || s.waits >= 30 || (!r.final.ok() && r.final.kind != finalCMS && r.final.kind != finalCME) {
		return true, nil
	}
	s.waits++
	s.d.setState(Starting, textSIMBusy)
	return false, nil
}
