package spool

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"doorway/transports"
	"doorway/transports/sms"
)

// row is a file in checked, "out/" and its name there in the table.
type row struct {
	V      int       `json:"v"`
	Key    string    `json:"key"`
	At     time.Time `json:"at"`              // when it was taken
	Fault  string    `json:"fault,omitempty"` // why nothing of it is sent
	To     []one     `json:"to,omitempty"`    // empty: not in the queue yet
	Sent   string    `json:"sent,omitempty"`  // its names in the other folders, once all is decided
	Failed string    `json:"failed,omitempty"`
}

// one is a recipient.
type one struct {
	To    string    `json:"to"`              // as in the file
	ID    uint64    `json:"id,omitempty"`    // of the text; 0: it was refused
	Done  bool      `json:"done,omitempty"`  // nothing more is waited for
	Cause string    `json:"cause,omitempty"` // why it was not sent
	Modem string    `json:"modem,omitempty"`
	At    time.Time `json:"at,omitzero"` // when the network had it
}

// claim is a row and what is known of its file.
type claim struct {
	name  string
	row   row
	look  look
	fresh bool      // taken by this process, and not found at its start
	dirty bool      // something may have been decided
	next  time.Time // looked at then in any case
}

const (
	rowVersion = 1
	lookAgain  = 5 * time.Minute
	unsure     = 4 * time.Minute // after this nothing is expected that tells what became of a text; less than lookAgain
)

// reported begins the keys of texts whose report is wanted; plain those of others.
const (
	reported = "spool r "
	plain    = "spool - "
)

func (c *claim) decided() bool {
	for _, t := range c.row.To {
		if !t.Done {
			return false
		}
	}
	return c.row.Fault != "" || len(c.row.To) > 0
}

func newKey() (string, error) {
	raw := make([]byte, 12)
	if _, err := rand.Read(raw); err != nil {
		return "", err
	}
	return hex.EncodeToString(raw), nil
}

// load reads the rows, finds what is in checked without one, and removes what was being written when the program ended.
func (s *Spool) load() error {
	for _, folder := range []string{sent, failed, incoming} {
		cut, err := filepath.Glob(s.path(folder, unfinished+"*"))
		for _, file := range cut {
			err = errors.Join(err, os.Remove(file))
		}
		if err != nil {
			return err
		}
	}
	gone, claims := map[string]any{}, map[string]*claim{}
	err := s.o.Table.Range("out/", "out0", false, func(key string, raw []byte) bool {
		c := &claim{name: strings.TrimPrefix(key, "out/"), dirty: true}
		if err := json.Unmarshal(raw, &c.row); err != nil {
			s.o.Log.Error("row of a drop folder unreadable", "comp", "spool", "ref", key, "err", err)
			return true
		}
		if _, err := os.Lstat(s.path(checked, c.name)); errors.Is(err, fs.ErrNotExist) && len(c.row.To) == 0 {
			gone[key] = nil // the program ended before the file was moved: it is still in outgoing
			return true
		}
		claims[c.name] = c
		return true
	})
	if err != nil {
		return err
	}
	if len(gone) > 0 {
		if err := s.o.Table.Write(gone); err != nil {
			return err
		}
	}
	names, err := s.names(checked)
	if err != nil {
		return err
	}
	for _, e := range names {
		if claims[e.Name()] == nil && e.Type().IsRegular() {
			claims[e.Name()] = &claim{name: e.Name(), row: row{V: rowVersion, At: s.o.Now(), Fault: "It is not certain whether this text was sent: " +
				"the file lay in checked when doorway started, and its data know nothing of it. Move it to outgoing to send it."}}
		}
	}
	s.claims = claims
	for _, c := range claims {
		s.own(c)
	}
	return nil
}

func (s *Spool) own(c *claim) {
	for _, t := range c.row.To {
		if t.ID != 0 && !t.Done {
			s.owners[t.ID] = c.name
		}
	}
}

// advance puts into the queue what was taken, and asks what became of the rest.
func (s *Spool) advance(ctx context.Context) error {
	if err := s.settleMoves(); err != nil {
		return err
	}
	s.mu.Lock()
	changed := s.changed
	s.changed = map[uint64]bool{}
	s.mu.Unlock()
	for id := range changed {
		if c := s.claims[s.owners[id]]; c != nil {
			c.dirty = true
		}
	}
	now := s.o.Now()
	var waiting []*claim
	for _, c := range s.claims {
		switch {
		case c.decided():
		case len(c.row.To) == 0:
			waiting = append(waiting, c)
		case c.dirty || !now.Before(c.next):
			c.dirty, c.next = false, now.Add(lookAgain)
			s.settle(c)
		}
	}
	slices.SortFunc(waiting, func(a, b *claim) int { return cmp.Or(cmp.Compare(a.look.mod, b.look.mod), cmp.Compare(a.name, b.name)) })
	rows, next := map[string]any{}, map[*claim]row{}
	for _, c := range waiting[:min(len(waiting), atOnce)] {
		if r, ok := s.put(ctx, c); ok {
			rows["out/"+c.name], next[c] = r, r
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if err := s.o.Table.Write(rows); err != nil {
		return err // put again with the same keys
	}
	for c, r := range next {
		c.row, c.dirty = r, true
		s.own(c)
	}
	return nil
}

// put reads a file in checked and gives its texts to the queue; false when that must wait.
func (s *Spool) put(ctx context.Context, c *claim) (row, bool) {
	r := c.row
	b, l, err := s.read(checked, c.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.Fault = "The file was taken out of checked before it was sent."
		return r, true
	case err != nil:
		r.Fault = fmt.Sprintf("The file cannot be read (%v). Its folder must be on a disk that works, and the file readable for the user that doorway runs as.", err)
		return r, true
	case l != c.look: // somebody still writes into it
		c.look = l
		return r, false
	case !c.fresh && s.o.Now().Sub(r.At) > keyHolds:
		r.Fault = "It is not certain whether this text was sent: doorway stopped when it was about to, and did not run for two days. Move the file to outgoing to send it."
		return r, true
	}
	m, err := parse(b)
	if err != nil {
		r.Fault = err.Error()
		return r, true
	}
	kind := plain
	if m.Report {
		kind = reported
	}
	r.To = make([]one, len(m.To))
	taken := 0
	for i, to := range m.To {
		r.To[i].To = to
		ref, err := s.o.SMS.Send(ctx, transports.Message{To: transports.ContactID(to), Body: m.Text, Urgent: m.Urgent, Flash: m.Flash,
			Validity: m.Validity, Via: m.Via, Key: fmt.Sprintf("%s%s %d", kind, r.Key, i)})
		var te *transports.Error
		switch id, ok := sms.JobID(ref); {
		case err == nil && ok:
			r.To[i].ID = id
			taken++
		case errors.As(err, &te) && te.Kind != transports.Down:
			r.To[i].Done, r.To[i].Cause = true, te.Text
		default: // the store is in trouble, which others say, or the network has not begun
			return c.row, false
		}
	}
	s.o.Log.Info("texts taken", "comp", "spool", "ref", c.name, "texts", taken, "refused", len(r.To)-taken)
	return r, true
}

// settle asks the queue what became of a file's texts.
func (s *Spool) settle(c *claim) {
	for i := range c.row.To {
		t := &c.row.To[i]
		if t.Done {
			continue
		}
		j, err := s.o.Queue.Get(t.ID)
		switch {
		case errors.Is(err, transports.ErrNoJob):
			t.Done, t.Cause = true, "The text was deleted from the queue."
		case err != nil:
			c.dirty = true
			s.once("queue not read for a drop folder", c.name, err.Error())
			continue
		case waits(j.State), j.State == transports.PossiblySent && s.open(j):
			continue // looked at again
		default:
			s.outcome(t, j)
		}
		delete(s.owners, t.ID)
	}
}

// open reports that a text that may have been sent can still turn out to have been, or is an alarm that will be repeated:
// its file is not to be taken for one that has failed. Only what stays so is.
func (s *Spool) open(j transports.Job) bool {
	if len(j.History) == 0 {
		return false
	}
	age := s.o.Now().Sub(j.History[len(j.History)-1].At)
	return age >= 0 && age < unsure
}

// outcome writes down what a decided job says.
func (s *Spool) outcome(t *one, j transports.Job) {
	t.Done = true
	chain, err := s.o.SMS.Describe(j)
	if err != nil {
		chain.Text = j.Error
	}
	for _, p := range chain.Parts {
		if p.Modem != "" {
			t.Modem = p.Modem
		}
		if p.Accepted.After(t.At) {
			t.At = p.Accepted
		}
	}
	switch j.State {
	case transports.Accepted, transports.Delivered, transports.SentUnconfirmed:
		return
	}
	t.Cause = chain.Text
	switch {
	case t.Cause != "":
	case j.State == transports.Expired:
		t.Cause = "The text could not be sent in time."
	case j.State == transports.Cancelled:
		t.Cause = "The text was cancelled."
	default:
		t.Cause = "The text is " + string(j.State) + "."
	}
}
