package spool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"doorway/transports"
	"doorway/transports/sms"
)

// finish moves files whose texts are decided to sent and failed.
func (s *Spool) finish() error {
	rows, done, places := map[string]any{}, []*claim{}, map[string]bool{}
	for _, c := range s.claims {
		places[sent+c.row.Sent], places[failed+c.row.Failed] = true, true
	}
	place := func(folder, name string) string {
		name = s.free(folder, name, func(n string) bool { return places[folder+n] })
		places[folder+name] = true
		return name
	}
	for _, c := range s.claims {
		if len(done) == atOnce {
			break
		}
		if !c.decided() {
			continue
		}
		done = append(done, c)
		if c.row.Sent == "" && c.row.Failed == "" {
			good, bad := c.row.parted()
			if len(good) > 0 {
				c.row.Sent = place(sent, c.name)
			}
			if len(bad) > 0 || c.row.Fault != "" {
				c.row.Failed = place(failed, c.name)
			}
			rows["out/"+c.name] = c.row
		}
	}
	if len(done) == 0 {
		return nil
	}
	if len(rows) > 0 {
		if err := s.o.Table.Write(rows); err != nil {
			return err
		}
	}
	gone := map[string]any{}
	var errs []error
	for _, c := range done {
		if err := s.place(c); err != nil {
			errs = append(errs, err)
			continue
		}
		gone["out/"+c.name] = nil
	}
	if len(gone) == 0 {
		return errors.Join(errs...)
	}
	// A file that a power cut brought back to checked must find its row.
	if err := s.sync(checked); err != nil {
		return errors.Join(append(errs, err)...)
	}
	if err := s.o.Table.Write(gone); err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, c := range done {
		if _, ok := gone["out/"+c.name]; ok {
			delete(s.claims, c.name)
		}
	}
	return errors.Join(errs...)
}

// parted are the recipients that a text was sent to and the others.
func (r *row) parted() (good, bad []one) {
	for _, t := range r.To {
		if t.Cause == "" {
			good = append(good, t)
		} else {
			bad = append(bad, t)
		}
	}
	return good, bad
}

// place writes a file into sent and failed, and takes it out of checked. A file in failed names only recipients that a text
// was not sent to, so that it can be put into outgoing again.
func (s *Spool) place(c *claim) error {
	b, _, err := s.read(checked, c.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // placed before a restart, or taken away
	}
	unread := err != nil
	good, bad := c.row.parted()
	both := len(good) > 0 && len(bad) > 0
	if c.row.Sent != "" {
		head := s.about(good)
		for _, t := range good {
			head = append(head, header{"Message_id", strconv.FormatUint(t.ID, 10)})
		}
		if err := s.write(sent, c.row.Sent, compose(b, names(good, both), head)); err != nil {
			return err
		}
	}
	if c.row.Failed != "" {
		why := c.row.Fault
		for i, t := range bad {
			switch {
			case len(bad) > 1 && i < 5:
				why += fmt.Sprintf(" %s: %s", t.To, t.Cause)
			case i == 0:
				why = t.Cause
			case i == 5:
				why += fmt.Sprintf(" And %d more.", len(bad)-i)
			}
		}
		if err := s.write(failed, c.row.Failed, compose(b, names(bad, both), append(s.about(bad), s.failure(why)...))); err != nil {
			return err
		}
		s.o.Log.Warn("file not sent, or not to all", "comp", "spool", "ref", c.name, "err", why)
	}
	if unread { // the reason says so
		return os.Rename(s.path(checked, c.name), s.path(failed, s.free(failed, c.name+".orig", nil)))
	}
	return os.Remove(s.path(checked, c.name))
}

// names are the recipients of a part of a file, nil for the whole.
func names(list []one, part bool) []string {
	if !part {
		return nil
	}
	var to []string
	for _, t := range list {
		to = append(to, short(t.To))
	}
	return to
}

// short writes a number as smstools does.
func short(num string) string {
	if n, ok := strings.CutPrefix(num, "+"); ok {
		return n
	}
	if num != "" && len(num) <= 6 && num[0] != '0' && strings.Trim(num, "0123456789") == "" {
		return "s" + num
	}
	return num
}

// about says which modem sent the texts, and when the last one left.
func (s *Spool) about(list []one) []header {
	name, at := "", time.Time{}
	for _, t := range list {
		if t.Modem != "" {
			name = t.Modem
		}
		if t.At.After(at) {
			at = t.At
		}
	}
	return append(s.modem(name), header{"Sent", stamp(at)})
}

func (s *Spool) modem(name string) []header {
	head := []header{{"Modem", name}}
	for _, m := range s.o.Modems() {
		if m.Name == name {
			head = append(head, header{"IMSI", m.IMSI}, header{"IMEI", m.IMEI})
		}
	}
	return head
}

// item is a file for incoming: the row "new/" and the key of its mark.
type item struct {
	V    int      `json:"v"`
	Name string   `json:"name"`
	Head []header `json:"head"`
	Text string   `json:"text"`
}

// mark says that an item was written: the rows "in/" and "rep/".
type mark struct {
	V  int       `json:"v"`
	At time.Time `json:"at"`
}

// keep stores an item unless it was stored before, and returns after fsync.
func (s *Spool) keep(key, modem string, head []header, text string) error {
	if found, err := s.o.Table.Get(key, &mark{}); err != nil || found {
		return err
	}
	sum := sha256.Sum256([]byte(key))
	if modem == "" || strings.ContainsAny(modem, "/\x00") {
		modem = "sms"
	}
	it := item{V: rowVersion, Head: head, Text: text, Name: modem + "." + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))}
	if err := s.o.Table.Write(map[string]any{"new/" + key: it}); err != nil {
		return err
	}
	s.mu.Lock()
	s.arrived = true
	s.mu.Unlock()
	return nil
}

// Incoming stores a text that came in for the folder incoming; it is an interceptor of the bridge that takes nothing.
func (s *Spool) Incoming(_ context.Context, m transports.Message) (taken bool, err error) {
	now := s.o.Now()
	modem, sentAt := "", m.At
	list, err := s.o.SMS.Inbox("", 0, 200)
	if err != nil {
		return false, err
	}
	for _, r := range list {
		if r.Ref == string(m.Ref) {
			modem = r.Modem
		}
	}
	if sentAt.IsZero() {
		sentAt = now
	}
	head := []header{{"From", short(string(m.From))}, {"Sent", stamp(sentAt)}, {"Received", stamp(now)}, {"Subject", modem}}
	head = append(head, s.modem(modem)...)
	if m.Kind == sms.KindFlash {
		head = append(head, header{"Flash", "yes"})
	} else if m.Kind != "" {
		head = append(head, header{"Doorway_kind", m.Kind})
	}
	head = append(head, header{"Report", "no"}, header{"UDH", "false"})
	return false, s.keep("in/"+string(m.Ref), modem, head, m.Body)
}

// Receipt stores the status report of a text whose file asked for one; it is a listener of the bridge. A text that never
// reached the network has no report: its file is in failed.
func (s *Spool) Receipt(_ context.Context, r transports.Receipt) error {
	id, ok := sms.JobID(r.Ref)
	if !ok || r.State != transports.Delivered && r.State != transports.Failed {
		return nil
	}
	j, err := s.o.Queue.Get(id)
	if errors.Is(err, transports.ErrNoJob) || err == nil && !strings.HasPrefix(j.Key, reported) {
		return nil
	} else if err != nil {
		return err
	}
	chain, err := s.o.SMS.Describe(j)
	if err != nil {
		return nil // ignored: the queue has said that the job is damaged
	}
	var accepted, done time.Time
	modem, status := "", "0,Ok,short message received by the SME"
	for _, p := range chain.Parts {
		modem, accepted, done = p.Modem, p.Accepted, p.Done
		if code, ok := strings.CutPrefix(p.Raw, "TP-ST "); ok && p.State == transports.Failed {
			n, _ := strconv.ParseUint(code, 0, 8) // ignored: 0 does not occur here
			status = fmt.Sprintf("%d,Error,%s", n, p.Reason)
			break
		}
	}
	if accepted.IsZero() || r.State == transports.Failed && strings.HasPrefix(status, "0,") {
		return nil
	}
	if done.IsZero() {
		done = r.At
	}
	head := []header{{"From", short(chain.To)}, {"Sent", stamp(accepted)}, {"Received", stamp(s.o.Now())}, {"Subject", modem}}
	head = append(append(head, s.modem(modem)...), header{"UDH", "false"})
	text := fmt.Sprintf("SMS STATUS REPORT\nMessage_id: %d\nDischarge_timestamp: %s\nStatus: %s\n", id, stamp(done), status)
	return s.keep(fmt.Sprintf("rep/%s/%s", r.Ref, r.State), modem, head, text)
}

// deliver writes what is stored for incoming.
func (s *Spool) deliver() error {
	s.mu.Lock()
	arrived := s.arrived
	s.arrived = false
	s.mu.Unlock()
	if !arrived {
		return nil
	}
	rows := map[string]any{}
	var bad error
	err := s.o.Table.Range("new/", "new0", false, func(key string, raw []byte) bool {
		var it item
		if err := json.Unmarshal(raw, &it); err != nil {
			s.once("row of a drop folder unreadable", key, err.Error())
			return true
		}
		if bad = s.write(incoming, it.Name, s.encode(it)); bad != nil {
			return false
		}
		rows[key], rows[strings.TrimPrefix(key, "new/")] = nil, mark{V: rowVersion, At: s.o.Now()}
		return len(rows) < atOnce
	})
	if err = errors.Join(err, bad); len(rows) > 0 {
		err = errors.Join(err, s.o.Table.Write(rows))
	}
	if err != nil || len(rows) >= atOnce {
		s.mu.Lock()
		s.arrived = true
		s.mu.Unlock()
	}
	return err
}

// encode is an item as a file.
func (s *Spool) encode(it item) []byte {
	body, alphabet := []byte(it.Text), "UTF-8"
	if s.o.Latin {
		var ok bool
		if body, ok = toLatin(it.Text); ok {
			alphabet = "ISO"
		} else {
			alphabet = "UCS2"
			for _, u := range utf16.Encode([]rune(it.Text)) {
				body = binary.BigEndian.AppendUint16(body, u)
			}
		}
	}
	var w bytes.Buffer
	writeHeaders(&w, it.Head)
	fmt.Fprintf(&w, "Alphabet: %s\nLength: %d\n\n", alphabet, utf8.RuneCountInString(it.Text))
	w.Write(body)
	return w.Bytes()
}

// prune forgets old marks, and deletes old files of sent and failed.
func (s *Spool) prune(now time.Time) error {
	gone := map[string]any{}
	old := func(key string, raw []byte) bool {
		var m mark
		if json.Unmarshal(raw, &m) != nil || now.Sub(m.At) > keepRows {
			gone[key] = nil
		}
		return len(gone) < atOnce
	}
	err := errors.Join(s.o.Table.Range("in/", "in0", false, old), s.o.Table.Range("rep/", "rep0", false, old))
	if err == nil && len(gone) > 0 {
		err = s.o.Table.Write(gone)
	}
	if len(gone) >= atOnce {
		s.pruned = time.Time{} // there may be more
	}
	if s.o.Keep <= 0 {
		return err
	}
	for _, folder := range []string{sent, failed} {
		list, bad := s.names(folder)
		err = errors.Join(err, bad)
		for _, e := range list {
			if st, gone := e.Info(); gone == nil && e.Type().IsRegular() && now.Sub(st.ModTime()) > s.o.Keep {
				err = errors.Join(err, os.Remove(s.path(folder, e.Name())))
			}
		}
	}
	return err
}
