package sms

import (
	"errors"
	"strings"
	"time"

	"doorway/transports"
)

// What a received text is, beside an ordinary one (Message.Kind).
const (
	KindOptOut    = "opt-out"
	KindOptIn     = "opt-in"
	KindHelp      = "help"
	KindFlash     = "flash"
	KindMMS       = "mms"
	KindVoicemail = "voicemail"
	KindBinary    = "binary"
	KindDenied    = "denied" // in the log only
)

// screen does with a text what comes before anybody reads it: numbers that are not allowed, and the words that are a
// wish about texts as such (STOP, START, HELP as the whole text). It reports whether the text goes on to the
// house, changed where that must know. It may be called twice for one text, after a crash.
func (r *receiver) screen(m *inMessage, msg *transports.Message) (on bool, err error) {
	s := r.s
	if !listed(s.n.cfg.AllowFrom, s.n.cfg.DenyFrom, string(msg.From)) {
		msg.Kind = KindDenied
		s.env.Log.Info("sms from a number that is not allowed", "comp", "sms", "net", m.Modem, "ref", m.Ref)
		return false, nil
	}
	num, word := string(msg.From), bareWord(msg.Body)
	if m.Rev > 0 || !m.complete() || !strings.HasPrefix(num, plainNumber) || msg.Kind != "" && msg.Kind != KindFlash {
		return true, nil
	}
	is := func(words []string) bool {
		for _, w := range words {
			if w == word {
				return true
			}
		}
		return false
	}
	_, out := s.out.has(num)
	switch {
	case is(stopWords):
		changed, err := s.out.set(num, optRecord{Out: true, At: m.First, N: m.N})
		if err != nil {
			return false, err
		}
		s.posts.put(post{kind: postStopped, num: num})
		if changed {
			s.env.Log.Info("sms number has opted out", "comp", "sms", "net", masked(num), "ref", m.Ref)
			r.auto(num, s.n.cfg.Answers.Stop, stopAnswer, m.Ref, false)
		}
		msg.Kind = KindOptOut
		msg.Body += "\n[" + num + " wants no more texts: they are refused until START comes from there.]"
	case is(startWords) && (out || r.s.out.by(num) == m.N):
		changed, err := s.out.set(num, optRecord{Out: false, At: m.First, N: m.N})
		if err != nil {
			return false, err
		}
		if changed {
			s.env.Log.Info("sms number has opted in again", "comp", "sms", "net", masked(num), "ref", m.Ref)
			r.auto(num, s.n.cfg.Answers.Start, startAnswer, m.Ref, false)
		}
		msg.Kind = KindOptIn
		msg.Body += "\n[" + num + " gets texts again.]"
	case is(helpWords) && !out:
		if r.auto(num, s.n.cfg.Answers.Help, helpAnswer, m.Ref, true) {
			msg.Kind = KindHelp
			return false, nil
		}
	}
	return true, nil
}

// by is the number of the text that made the wish that holds.
func (o *optOuts) by(num string) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rows[num].N
}

// Received is a text that came in, as the log keeps it; the record "log/"+be64(N).
type Received struct {
	V     int       `json:"v,omitempty"`
	ID    uint64    `json:"id"` // rises with each text
	Ref   string    `json:"ref"`
	From  string    `json:"from"`
	Text  string    `json:"text"`
	Kind  string    `json:"kind,omitempty"`
	Modem string    `json:"modem"`
	Parts int       `json:"parts"`
	At    time.Time `json:"at"`                 // when the gateway had it
	Sent  time.Time `json:"sent_at,omitzero"`   // when the network says it was written, where that is believed
	Taken bool      `json:"taken,omitempty"`    // somebody has it, or it was meant for the gateway
	Fixed bool      `json:"corrected,omitzero"` // a part came late
}

// keepLog is how long received texts stay in the log.
const keepLog = 30 * 24 * time.Hour

func logKey(n uint64) string { return "log/" + be64(n) }

// record is the text's row in the log.
func (m *inMessage) record(msg transports.Message, taken bool) Received {
	l := Received{V: recordVersion, ID: m.N, Ref: m.Ref, From: string(msg.From), Text: msg.Body, Kind: msg.Kind, Modem: m.Modem,
		Parts: max(m.Total, 1), At: m.First, Taken: taken, Fixed: m.Rev > 0}
	if msg.Delayed {
		l.Sent = msg.At
	}
	return l
}

// Inbox lists received texts, newest first: at most limit with ids below before (0: any), of a number or name
// (""; all).
func (n *Network) Inbox(from string, before uint64, limit int) ([]Received, error) {
	s := n.current.Load()
	if s == nil {
		return nil, notRunning()
	}
	to := "log0"
	if before != 0 {
		to = logKey(before)
	}
	list := []Received{}
	var bad error
	err := s.env.Table.Range("log/", to, true, func(_ string, raw []byte) bool {
		l, err := decodeRecord[Received](raw)
		if err != nil {
			bad = err
			return false
		}
		if from == "" || from == l.From {
			list = append(list, l)
		}
		return limit <= 0 || len(list) < limit
	})
	return list, errors.Join(err, bad)
}
