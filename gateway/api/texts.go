package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"doorway/gateway/queue"
	"doorway/gateway/token"
	"doorway/transports"
	"doorway/transports/sms"
)

const (
	maxRecipients = 1000
	listDefault   = 50
	listMost      = 500
)

// sendRequest is the body of POST /api/v1/sms.
type sendRequest struct {
	To        []string  `json:"to"`
	Text      string    `json:"text"`
	Priority  string    `json:"priority"`   // "normal" or "alarm"
	NotBefore time.Time `json:"not_before"` // zero: at once
	ValidFor  int       `json:"valid_for"`  // seconds; 0: as configured
	Flash     bool      `json:"flash"`
	Modem     string    `json:"modem"`
}

// sent is one recipient of the answer.
type sent struct {
	To     string `json:"to"` // as in the request
	Number string `json:"number,omitempty"`
	ID     string `json:"id,omitempty"`
	Status string `json:"status"` // queued, or refused
	Cause  string `json:"cause,omitempty"`
}

// text is an outgoing text.
type text struct {
	ID        string           `json:"id"`
	Direction string           `json:"direction"` // out
	To        string           `json:"to"`
	Sender    string           `json:"sender,omitempty"`
	Text      string           `json:"text"`
	Status    transports.State `json:"status"`
	Cause     string           `json:"cause,omitempty"`
	Priority  string           `json:"priority"`
	Created   time.Time        `json:"created"`
	Next      time.Time        `json:"next_attempt,omitzero"`
	Deadline  time.Time        `json:"deadline"`
	Parts     []part           `json:"parts"`
	History   []step           `json:"history,omitempty"` // of a single text
}

type part struct {
	Number   int              `json:"number"`
	Status   transports.State `json:"status"`
	Modem    string           `json:"modem,omitempty"`
	Accepted time.Time        `json:"accepted,omitzero"`
	Done     time.Time        `json:"done,omitzero"`
	Cause    string           `json:"cause,omitempty"`
}

type step struct {
	At     time.Time        `json:"at"`
	Status transports.State `json:"status"`
	Note   string           `json:"note,omitempty"`
}

// received is an incoming text.
type received struct {
	ID          string    `json:"id"`
	Direction   string    `json:"direction"` // in
	From        string    `json:"from"`
	Text        string    `json:"text"`
	Kind        string    `json:"kind,omitempty"`
	Modem       string    `json:"modem"`
	Parts       int       `json:"parts"`
	ReceivedAt  time.Time `json:"received_at"`
	NetworkTime time.Time `json:"network_time,omitzero"`
}

// page is a list; Next is the value of after for the following page, "" on the last one.
type page[T any] struct {
	Messages []T    `json:"messages"`
	Next     string `json:"next,omitempty"`
}

// send is POST /api/v1/sms.
func (s *Server) send(ctx context.Context, who token.Token, body []byte, name string, r *http.Request) (int, any, *Problem) {
	var req sendRequest
	if p := decode(body, &req); p != nil {
		return 0, nil, p
	}
	if p := req.check(); p != nil {
		return 0, nil, p
	}
	list, p := s.recipients(req.To)
	if p != nil {
		return 0, nil, p
	}
	var first *Problem
	taken := 0
	for i := range list {
		to := &list[i]
		if to.Number == "" {
			first = cmp.Or(first, problem("no-recipient", to.Cause))
			continue
		}
		m := transports.Message{To: transports.ContactID(to.Number), Body: req.Text, Urgent: req.Priority == "alarm", Flash: req.Flash,
			NotBefore: req.NotBefore, Validity: time.Duration(req.ValidFor) * time.Second, Via: req.Modem}
		if name != "" {
			// By the number, not by its place: a group may have changed when the request is repeated.
			sum := sha256.Sum256([]byte(name + "\x00" + to.Number))
			m.Key = "api " + hex.EncodeToString(sum[:16])
		}
		ref, err := s.c.SMS.Send(ctx, m)
		if err != nil {
			p := s.notSent(err)
			if first == nil || p.Status == http.StatusServiceUnavailable {
				first = p
			}
			to.Number, to.Status, to.Cause = "", "refused", p.Detail
			continue
		}
		to.Status, to.ID = "queued", string(ref)
		taken++
	}
	if first != nil && (taken == 0 || first.Status == http.StatusServiceUnavailable && name != "") {
		return 0, nil, first // the latter is repeated as a whole, and sends nothing twice
	}
	s.c.Log.Info("texts taken", "comp", "api", "user", who.Name, "texts", taken, "refused", len(list)-taken)
	return http.StatusAccepted, page[sent]{Messages: list}, nil
}

// recipients are the numbers that are meant by what a request names, each once; one without a number says why.
func (s *Server) recipients(names []string) ([]sent, *Problem) {
	var list []sent
	seen := map[string]bool{}
	add := func(to, number string) {
		if c, err := s.c.SMS.ContactID(number); err == nil {
			number = string(c)
		}
		if !seen[number] {
			seen[number] = true
			list = append(list, sent{To: to, Number: number})
		}
	}
	for _, to := range names {
		var numbers []string
		if s.c.Expand != nil && strings.IndexFunc(to, unicode.IsLetter) >= 0 {
			numbers = s.c.Expand(to)
		}
		switch {
		case numbers == nil:
			add(to, to)
		case len(numbers) == 0:
			list = append(list, sent{To: to, Status: "refused", Cause: "Nobody is meant by " + to + " who has a number that may be texted."})
		}
		for _, n := range numbers {
			add(to, n)
		}
		if len(list) > maxRecipients {
			detail := fmt.Sprintf("A request may have at most %d recipients, the members of groups counted.", maxRecipients)
			return nil, problem("invalid-body", detail, Fault{"/to", detail})
		}
	}
	return list, nil
}

func (q *sendRequest) check() *Problem {
	var faults []Fault
	if len(q.To) > maxRecipients {
		faults = append(faults, Fault{"/to", fmt.Sprintf("A request may have at most %d recipients.", maxRecipients)})
	}
	if strings.TrimSpace(q.Text) == "" {
		faults = append(faults, Fault{"/text", "The text is empty."})
	}
	if q.Priority != "" && q.Priority != "normal" && q.Priority != "alarm" {
		faults = append(faults, Fault{"/priority", `The priority is "normal" or "alarm".`})
	}
	if q.ValidFor < 0 || q.ValidFor > 63*7*24*3600 {
		faults = append(faults, Fault{"/valid_for", "The time is in seconds, from 60 to 63 weeks."})
	} else if q.ValidFor > 0 && q.ValidFor < 60 {
		faults = append(faults, Fault{"/valid_for", "The time is in seconds, at least 60."})
	}
	if q.NotBefore.After(time.Now().Add(366 * 24 * time.Hour)) {
		faults = append(faults, Fault{"/not_before", "Texts are kept for a year at most."})
	}
	switch {
	case len(faults) > 0:
		return problem("invalid-body", faults[0].Detail, faults...)
	case len(q.To) == 0:
		return problem("no-recipient", `Write the recipients as a list: "to": ["+49…"].`, Fault{"/to", "There is no recipient."})
	}
	return nil
}

// notSent is why a text was not taken.
func (s *Server) notSent(err error) *Problem {
	var te *transports.Error
	if !errors.As(err, &te) {
		s.c.Log.Error("text not taken", "comp", "api", "err", err)
		return problem("internal", "doorway has a fault here; its log has the details.")
	}
	switch {
	case errors.Is(err, sms.ErrOptedOut):
		return problem("opted-out", te.Text)
	case te.Kind == transports.NotFound:
		return problem("bad-number", te.Text)
	case te.Kind == transports.Busy:
		p := problem("rate-limited", te.Text)
		p.retry = 3600
		return p
	case te.Kind == transports.Down:
		return problem("store-unavailable", te.Text)
	}
	return problem("refused", te.Text)
}

// listTexts is GET /api/v1/sms.
func (s *Server) listTexts(w http.ResponseWriter, r *http.Request, _ token.Token) *Problem {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return problem("invalid-parameter", "The parameters of the address cannot be read.")
	}
	for name, values := range q {
		if !slices.Contains([]string{"direction", "status", "to", "from", "limit", "after"}, name) || len(values) > 1 {
			return problem("invalid-parameter", fmt.Sprintf("The parameter %.40q means nothing here, or came twice.", name))
		}
	}
	limit, after := listDefault, uint64(0)
	if v := q.Get("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > listMost {
			return problem("invalid-parameter", fmt.Sprintf("limit is a number from 1 to %d.", listMost))
		}
	}
	if v := q.Get("after"); v != "" {
		if after, err = strconv.ParseUint(v, 36, 64); err != nil || after == 0 {
			return problem("invalid-parameter", "after is what next was in an earlier answer.")
		}
	}
	switch q.Get("direction") {
	case "", "out":
		return s.listOut(w, q, limit, after)
	case "in":
		return s.listIn(w, q, limit, after)
	}
	return problem("invalid-parameter", `direction is "in" or "out".`)
}

func (s *Server) listOut(w http.ResponseWriter, q url.Values, limit int, after uint64) *Problem {
	f := transports.Filter{Limit: limit + 1, Before: after}
	if v := q.Get("status"); v != "" {
		if !slices.Contains(statuses, transports.State(v)) {
			return problem("invalid-parameter", fmt.Sprintf("There is no status %.40q.", v))
		}
		f.States = []transports.State{transports.State(v)}
	}
	if v := q.Get("to"); v != "" {
		c, err := s.c.SMS.ContactID(v)
		if err != nil {
			return problem("invalid-parameter", s.notSent(err).Detail)
		}
		f.Dest = string(c)
	}
	if q.Get("from") != "" {
		return problem("invalid-parameter", "from is for direction=in.")
	}
	jobs, err := s.c.Queue.List(f)
	if err != nil {
		return s.unavailable(err)
	}
	out := page[text]{Messages: []text{}}
	for i, j := range jobs {
		if i == limit {
			out.Next = strconv.FormatUint(jobs[i-1].ID, 36)
			break
		}
		t, err := s.describe(j)
		if err != nil {
			s.c.Log.Error("text unreadable", "comp", "api", "job", j.ID, "err", err)
			continue
		}
		t.History = nil
		out.Messages = append(out.Messages, t)
	}
	s.json(w, http.StatusOK, out)
	return nil
}

// statuses are the public words of a text's state.
var statuses = []transports.State{
	transports.Queued, transports.Leased, transports.OnAir, transports.Accepted, transports.Delivered, transports.SentUnconfirmed,
	transports.PossiblySent, transports.RetryWait, transports.Failed, transports.Cancelled, transports.Expired,
}

func (s *Server) listIn(w http.ResponseWriter, q url.Values, limit int, after uint64) *Problem {
	if q.Get("status") != "" || q.Get("to") != "" {
		return problem("invalid-parameter", "status and to are for direction=out.")
	}
	from := q.Get("from")
	if c, err := s.c.SMS.ContactID(from); err == nil {
		from = string(c) // otherwise it is a name
	}
	list, err := s.c.SMS.Inbox(from, after, limit+1)
	if err != nil {
		return s.unavailable(err)
	}
	out := page[received]{Messages: []received{}}
	for i, m := range list {
		if i == limit {
			out.Next = strconv.FormatUint(list[i-1].ID, 36)
			break
		}
		out.Messages = append(out.Messages, received{ID: m.Ref, Direction: "in", From: m.From, Text: m.Text, Kind: m.Kind, Modem: m.Modem,
			Parts: m.Parts, ReceivedAt: m.At.UTC(), NetworkTime: m.Sent})
	}
	s.json(w, http.StatusOK, out)
	return nil
}

// describe makes the public form of a job.
func (s *Server) describe(j transports.Job) (text, error) {
	c, err := s.c.SMS.Describe(j)
	if err != nil {
		return text{}, err
	}
	t := text{ID: string(c.Ref), Direction: "out", To: c.To, Sender: c.Sender, Text: c.Body, Status: c.State, Cause: c.Text, Priority: "normal",
		Created: c.Created.UTC(), Next: c.Next.UTC(), Deadline: c.Deadline.UTC(), Parts: []part{}}
	if c.Urgent {
		t.Priority = "alarm"
	}
	if c.Next.IsZero() {
		t.Next = time.Time{}
	}
	for _, p := range c.Parts {
		t.Parts = append(t.Parts, part{Number: p.Number, Status: p.State, Modem: p.Modem, Accepted: p.Accepted, Done: p.Done, Cause: p.Reason})
	}
	for _, h := range c.Steps {
		t.History = append(t.History, step{At: h.At.UTC(), Status: h.State, Note: h.Note})
	}
	return t, nil
}

// job is the number in an id: "sms-12", or 12 as the command line has it.
func job(r *http.Request) (uint64, *Problem) {
	id, ok := sms.JobID(transports.Ref(r.PathValue("id")))
	if !ok {
		var err error
		if id, err = strconv.ParseUint(r.PathValue("id"), 10, 64); err != nil {
			return 0, problem("not-found", "There is no text with this id. An id looks like sms-12.")
		}
	}
	return id, nil
}

// getText is GET /api/v1/sms/{id}.
func (s *Server) getText(w http.ResponseWriter, r *http.Request, _ token.Token) *Problem {
	id, p := job(r)
	if p != nil {
		return p
	}
	j, err := s.c.Queue.Get(id)
	switch {
	case errors.Is(err, transports.ErrNoJob):
		return problem("not-found", fmt.Sprintf("There is no text sms-%d. Texts are kept for 30 days after they have ended.", id))
	case err != nil:
		return s.unavailable(err)
	}
	t, err := s.describe(j)
	if err != nil {
		s.c.Log.Error("text unreadable", "comp", "api", "job", id, "err", err)
		return problem("internal", "The record of this text is damaged.")
	}
	b, err := json.Marshal(t)
	if err != nil {
		return problem("internal", "doorway has a fault here; its log has the details.")
	}
	sum := sha256.Sum256(b)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	w.Header().Set("ETag", tag)
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	s.raw(w, http.StatusOK, append(b, '\n'))
	return nil
}

// withdraw is DELETE /api/v1/sms/{id}.
func (s *Server) withdraw(w http.ResponseWriter, r *http.Request, who token.Token) *Problem {
	id, p := job(r)
	if p != nil {
		return p
	}
	err := s.c.Queue.Cancel(id)
	switch {
	case errors.Is(err, transports.ErrNoJob):
		return problem("not-found", fmt.Sprintf("There is no text sms-%d.", id))
	case errors.Is(err, transports.ErrLeased):
		return problem("not-waiting", "The text is being sent at this moment and cannot be taken back.")
	case errors.Is(err, queue.ErrState):
		return problem("not-waiting", "The text does not wait any more, so it cannot be taken back.")
	case err != nil:
		return s.unavailable(err)
	}
	s.c.Log.Info("text withdrawn", "comp", "api", "user", who.Name, "job", id)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
