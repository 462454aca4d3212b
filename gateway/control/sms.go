package control

import (
	"context"
	"errors"
	"time"

	"doorway/gateway/queue"
	"doorway/transports"
	"doorway/transports/sms"
	"doorway/xmpp/jid"
)

// SMSSend is the request of sms.send.
type SMSSend struct {
	To     string `json:"to"`
	Text   string `json:"text"`
	Sender string `json:"sender,omitempty"` // the account that speaks, "" for the box itself
	Urgent bool   `json:"urgent,omitempty"`
	Flash  bool   `json:"flash,omitempty"` // shown at once, not kept by the phone
	Key    string `json:"key,omitempty"`   // idempotency key, for this number
	Modem  string `json:"modem,omitempty"` // the only one that may send it

	NotBefore time.Time     `json:"not_before,omitzero"`
	Validity  time.Duration `json:"validity,omitempty"` // ns; 0: as configured
}

// SMSSent is the answer of sms.send.
type SMSSent struct {
	ID    uint64           `json:"id"`
	To    string           `json:"to"`
	State transports.State `json:"state"`
}

// Inbox is the request of sms.inbox.
type Inbox struct {
	From   string `json:"from,omitempty"` // only of this number or name
	Limit  int    `json:"limit,omitempty"`
	Before uint64 `json:"before,omitempty"`
}

// OptOut is the request and the answer of sms.optout.
type OptOut struct {
	Number  string `json:"number"`
	Out     bool   `json:"out"`
	Changed bool   `json:"changed"` // in the answer: it was otherwise before
}

// SMSText is one row of sms.list.
type SMSText struct {
	ID      uint64           `json:"id"`
	Created time.Time        `json:"created"`
	To      string           `json:"to"`
	Sender  string           `json:"sender,omitempty"`
	Text    string           `json:"text"`
	Parts   int              `json:"parts"`
	State   transports.State `json:"state"`
	Error   string           `json:"error,omitempty"`
}

// SMS registers sms.send, list, inbox, show, optouts and optout.
func SMS(s *Server, n *sms.Network, q *queue.Queue, domain string) {
	Handle(s, "sms.send", func(ctx context.Context, r SMSSend) (SMSSent, error) {
		m := transports.Message{To: transports.ContactID(r.To), Body: r.Text, Urgent: r.Urgent, Flash: r.Flash, Key: keyFor(r.Key, n, r.To),
			Via: r.Modem, NotBefore: r.NotBefore, Validity: r.Validity}
		if r.Sender != "" {
			local, err := localpart(r.Sender, domain)
			if err != nil {
				return SMSSent{}, err
			}
			j, err := jid.New(local, domain, "")
			if err != nil {
				return SMSSent{}, err
			}
			m.Sender = j.String()
		}
		ref, err := n.Send(ctx, m)
		if err != nil {
			return SMSSent{}, err
		}
		id, ok := sms.JobID(ref)
		if !ok {
			return SMSSent{}, Refuse("The text is queued, but its id is not known. `doorway sms list` shows it.")
		}
		c, err := chain(n, q, id)
		return SMSSent{ID: id, To: c.To, State: c.State}, err
	})
	Handle(s, "sms.list", func(_ context.Context, r QueueList) ([]SMSText, error) {
		f, err := stateFilter(r.State)
		if err != nil {
			return nil, err
		}
		jobs, err := q.List(transports.Filter{States: f, Limit: limit(r.Limit), Before: r.Before})
		if err != nil {
			return nil, err
		}
		list := []SMSText{}
		for _, j := range jobs {
			c, err := n.Describe(j)
			if err != nil {
				return nil, err
			}
			list = append(list, SMSText{ID: c.ID, Created: c.Created, To: c.To, Sender: c.Sender, Text: c.Body, Parts: len(c.Parts), State: c.State, Error: c.Text})
		}
		return list, nil
	})
	Handle(s, "sms.inbox", func(_ context.Context, r Inbox) ([]sms.Received, error) {
		return n.Inbox(r.From, r.Before, limit(r.Limit))
	})
	Handle(s, "sms.optouts", func(context.Context, struct{}) ([]sms.OptOut, error) { return n.OptOuts(), nil })
	Handle(s, "sms.optout", func(_ context.Context, r OptOut) (OptOut, error) {
		num, changed, err := n.SetOptOut(r.Number, r.Out)
		return OptOut{Number: num, Out: r.Out, Changed: changed}, err
	})
	Handle(s, "sms.show", func(_ context.Context, r JobID) (sms.Chain, error) { return chain(n, q, r.ID) })
}

// keyFor is a person's key and the number: one key may do for several numbers.
func keyFor(key string, n *sms.Network, to string) string {
	if key == "" {
		return ""
	}
	if c, err := n.ContactID(to); err == nil {
		to = string(c)
	}
	return "cli\x00" + key + "\x00" + to
}

func chain(n *sms.Network, q *queue.Queue, id uint64) (sms.Chain, error) {
	j, err := q.Get(id)
	if errors.Is(err, transports.ErrNoJob) {
		return sms.Chain{}, Refuse("There is no text %d. `doorway sms list` shows the ids.", id)
	}
	if err != nil {
		return sms.Chain{}, err
	}
	return n.Describe(j)
}
