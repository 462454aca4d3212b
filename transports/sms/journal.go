package sms

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"doorway/modem/pdu"
	"doorway/transports"
)

// journal is the payload of an outbox job: everything that is known about a
// text and each of its parts. It is rewritten as a whole, in one commit with
// the job's state.
type journal struct {
	V        int              `json:"v"`
	To       string           `json:"to"`
	Sender   string           `json:"sender,omitempty"`
	Origin   string           `json:"origin,omitempty"`
	Body     string           `json:"body"`
	Urgent   bool             `json:"urgent,omitempty"`
	Flash    bool             `json:"flash,omitempty"`
	AtOnce   bool             `json:"at_once,omitempty"` // leaves at any hour
	Ref      uint16           `json:"ref,omitempty"`     // concatenation reference (3GPP TS 23.040 §9.2.3.24.8), kept for all attempts
	Alphabet string           `json:"alphabet"`
	Deadline time.Time        `json:"deadline"`
	Via      string           `json:"via,omitempty"`   // the only modem that may send it
	Modem    string           `json:"modem,omitempty"` // all parts go through one SIM once one may be out
	Avoid    []string         `json:"avoid,omitempty"` // modems whose SIM may not send this
	Tries    int              `json:"tries,omitempty"` // transient failures, for the back-off
	Waits    int              `json:"waits,omitempty"` // pauses in a row because the modem was not ready
	State    transports.State `json:"state"`           // what this network saved last; another one in the job was a person's doing
	Told     transports.State `json:"told,omitempty"`  // the last Receipt the sink took
	Why      string           `json:"why,omitempty"`   // why the house took it back; "" when a person did
	Resent   bool             `json:"resent,omitempty"`
	Again    int              `json:"again,omitempty"` // how often a person has put it back
	Parts    []part           `json:"parts"`
}

// part is one TPDU.
type part struct {
	TPDU     []byte           `json:"tpdu"`
	State    transports.State `json:"state"`
	MR       int              `json:"mr"` // -1 unknown
	Modem    string           `json:"modem,omitempty"`
	OnAir    time.Time        `json:"on_air,omitzero"`
	Accepted time.Time        `json:"accepted,omitzero"`
	Done     time.Time        `json:"done,omitzero"`
	Attempts int              `json:"attempts,omitempty"`
	Seen     int              `json:"seen,omitempty"` // how often the same limited class came in a row
	Class    string           `json:"class,omitempty"`
	Reason   string           `json:"reason,omitempty"` // for people
	Raw      string           `json:"raw,omitempty"`    // the modem's words
	Plain    bool             `json:"plain,omitempty"`  // optional fields were taken out
	Report   int              `json:"report,omitempty"` // 1 + TP-Status of the last report
	SCTS     time.Time        `json:"scts,omitzero"`    // its time of acceptance by the service centre
}

const journalVersion = 1

func (j *journal) encode() []byte {
	j.V = journalVersion
	b, err := json.Marshal(j)
	if err != nil {
		panic(err) // no field can fail
	}
	return b
}

func decodeJournal(b []byte) (*journal, error) {
	var j journal
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	if j.V != journalVersion {
		return nil, fmt.Errorf("read journal: version %d is not known", j.V)
	}
	if len(j.Parts) == 0 {
		return nil, fmt.Errorf("read journal: no parts")
	}
	return &j, nil
}

// class is the message class of all parts (3GPP TS 23.038 §4).
func (j *journal) class() pdu.Class {
	if j.Flash {
		return pdu.Flash
	}
	return pdu.NoClass
}

// out reports that the part has certainly or possibly left.
func (p *part) out() bool {
	switch p.State {
	case transports.Accepted, transports.Delivered, transports.SentUnconfirmed, transports.PossiblySent, transports.OnAir:
		return true
	}
	return false
}

// unsent reports that the part is still to be sent.
func (p *part) unsent() bool {
	return p.State == transports.Queued || p.State == transports.RetryWait || p.State == transports.Leased
}

// overall is the message's state: that of its worst open part (reference §1.1).
func (j *journal) overall() transports.State {
	n := map[transports.State]int{}
	for i := range j.Parts {
		n[j.Parts[i].State]++
	}
	switch {
	case n[transports.Failed] > 0:
		return transports.Failed
	case n[transports.Queued]+n[transports.RetryWait]+n[transports.Leased] > 0:
		return transports.RetryWait
	case n[transports.OnAir] > 0:
		return transports.OnAir
	case n[transports.PossiblySent] > 0:
		return transports.PossiblySent
	case n[transports.Accepted] > 0:
		return transports.Accepted
	case n[transports.SentUnconfirmed] > 0:
		return transports.SentUnconfirmed
	}
	return transports.Delivered
}

// sent counts the parts that the network has for certain.
func (j *journal) sent() int {
	n := 0
	for i := range j.Parts {
		switch j.Parts[i].State {
		case transports.Accepted, transports.Delivered, transports.SentUnconfirmed:
			n++
		}
	}
	return n
}

// reason is the sentence that explains the message's state; "" when there is nothing to explain.
func (j *journal) reason() string {
	n := len(j.Parts)
	switch st := j.overall(); st {
	case transports.Failed:
		for i := range j.Parts {
			if p := &j.Parts[i]; p.State == transports.Failed {
				text := p.Reason
				if got := j.sent(); got > 0 {
					text += fmt.Sprintf(" Only %d of %d parts of the text were sent.", got, n)
				}
				return text
			}
		}
	case transports.PossiblySent:
		return "It is not certain that this text reached " + j.To + ": " + j.unsure()
	case transports.SentUnconfirmed:
		return "The text was sent to " + j.To + ", but the network did not confirm that the phone got it."
	}
	return ""
}

func (j *journal) unsure() string {
	for i := range j.Parts {
		if p := &j.Parts[i]; p.State == transports.PossiblySent && p.Reason != "" {
			return p.Reason
		}
	}
	return "the modem gave no clear answer."
}

// Chain is what became of a text, part by part, for `doorway sms show`.
type Chain struct {
	ID       uint64            `json:"id"`
	Ref      transports.Ref    `json:"ref"`
	To       string            `json:"to"`
	Sender   string            `json:"sender,omitempty"`
	Body     string            `json:"body"`
	Alphabet string            `json:"alphabet"` // "GSM 7-bit" or "UCS-2"
	Urgent   bool              `json:"urgent,omitempty"`
	Flash    bool              `json:"flash,omitempty"` // class 0: shown at once, not kept
	State    transports.State  `json:"state"`
	Text     string            `json:"text,omitempty"` // one sentence on the state
	Created  time.Time         `json:"created"`
	Next     time.Time         `json:"next,omitzero"` // the next attempt, or the first one of a text that is sent later
	Deadline time.Time         `json:"deadline"`
	Attempts int               `json:"attempts"`
	Parts    []PartState       `json:"parts"`
	Steps    []transports.Step `json:"steps"`
}

// PartState is one part of a Chain.
type PartState struct {
	Number   int              `json:"number"`
	State    transports.State `json:"state"`
	Modem    string           `json:"modem,omitempty"`
	MR       int              `json:"mr"` // message reference of the modem, -1 unknown
	OnAir    time.Time        `json:"on_air,omitzero"`
	Accepted time.Time        `json:"accepted,omitzero"`
	Done     time.Time        `json:"done,omitzero"` // when its last state became final
	Attempts int              `json:"attempts"`
	Class    string           `json:"class,omitempty"`
	Reason   string           `json:"reason,omitempty"`
	Raw      string           `json:"raw,omitempty"`
}

// Describe reads the delivery chain out of an outbox job of this network.
func (n *Network) Describe(job transports.Job) (Chain, error) {
	j, err := decodeJournal(job.Payload)
	if err != nil {
		return Chain{}, fmt.Errorf("describe job %d: %w", job.ID, err)
	}
	c := Chain{ID: job.ID, Ref: refOf(job.ID), To: j.To, Sender: j.Sender, Body: j.Body, Alphabet: j.Alphabet,
		Urgent: j.Urgent, Flash: j.Flash, State: job.State, Text: job.Error, Created: job.Created, Deadline: j.Deadline,
		Attempts: job.Attempts, Steps: job.History}
	if job.State == transports.RetryWait || job.State == transports.Queued {
		c.Next = job.NotBefore
	}
	if t := j.reason(); t != "" && job.State == j.State {
		c.Text = t
	}
	for i := range j.Parts {
		p := &j.Parts[i]
		c.Parts = append(c.Parts, PartState{Number: i + 1, State: p.State, Modem: p.Modem, MR: p.MR, OnAir: p.OnAir,
			Accepted: p.Accepted, Done: p.Done, Attempts: p.Attempts, Class: p.Class, Reason: p.Reason, Raw: p.Raw})
	}
	return c, nil
}

// refOf names an outgoing text; JobID is its reverse.
func refOf(id uint64) transports.Ref { return transports.Ref("sms-" + strconv.FormatUint(id, 10)) }

// JobID is the outbox id behind the Ref of an outgoing text; ok false for other refs.
func JobID(r transports.Ref) (id uint64, ok bool) {
	s, ok := strings.CutPrefix(string(r), "sms-")
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseUint(s, 10, 64)
	return id, err == nil
}
