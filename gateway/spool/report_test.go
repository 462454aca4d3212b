package spool

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"doorway/transports"
)

// report has a text's only part end as a modem and the network would have it.
func (r *rig) report(id uint64, state transports.State, part map[string]any) {
	r.t.Helper()
	if _, err := r.queue.Update(context.Background(), id, func(j *transports.Job) bool {
		var journal struct {
			Rest  map[string]json.RawMessage
			Parts []map[string]any
		}
		if err := json.Unmarshal(j.Payload, &journal.Rest); err != nil {
			r.t.Fatal(err)
		}
		if err := json.Unmarshal(journal.Rest["parts"], &journal.Parts); err != nil {
			r.t.Fatal(err)
		}
		for k, v := range part {
			journal.Parts[0][k] = v
		}
		b, err := json.Marshal(journal.Parts)
		if err == nil {
			journal.Rest["parts"], journal.Rest["state"] = b, json.RawMessage(`"`+state+`"`)
			j.Payload, err = json.Marshal(journal.Rest)
		}
		if err != nil {
			r.t.Fatal(err)
		}
		j.State = state
		return true
	}); err != nil {
		r.t.Fatal(err)
	}
	rc := transports.Receipt{Ref: transports.Ref(fmt.Sprintf("sms-%d", id)), State: state, At: time.Now()}
	for range 2 { // offered again
		if err := r.Receipt(context.Background(), rc); err != nil {
			r.t.Fatal(err)
		}
	}
}

func TestReports(t *testing.T) {
	r := fresh(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	for i, report := range []string{"yes", "yes", "no", "yes"} {
		r.drop(fmt.Sprint("f", i), fmt.Sprintf("To: 491555010%d\nReport: %s\n\nx", i, report))
		r.rounds(3)
	}
	accepted := map[string]any{"state": "delivered", "modem": "gsm0", "accepted": at, "done": at.Add(time.Minute)}
	r.report(1, transports.Delivered, accepted)
	r.report(2, transports.Failed, map[string]any{"state": "failed", "modem": "gsm0", "accepted": at, "done": at.Add(time.Hour), "reason": "The phone was off.", "raw": "TP-ST 0x46"})
	r.report(3, transports.Delivered, accepted)
	r.report(4, transports.Failed, map[string]any{"state": "failed", "modem": "gsm0", "reason": "There is no such number.", "raw": "+CMS ERROR: 1"})
	r.rounds(2)
	var text strings.Builder
	for _, name := range r.all() {
		if file, ok := strings.CutPrefix(name, "incoming/"); ok {
			b, err := os.ReadFile(r.path(incoming, file))
			if err != nil {
				t.Fatal(err)
			}
			text.Write(b)
		}
	}
	for _, want := range []string{
		"From: 4915550100\nSent: 26-01-02 03:04:05\n", "SMS STATUS REPORT\nMessage_id: 1\nDischarge_timestamp: 26-01-02 03:05:05\nStatus: 0,Ok,short message received by the SME\n",
		"From: 4915550101\n", "Message_id: 2\nDischarge_timestamp: 26-01-02 04:04:05\nStatus: 70,Error,The phone was off.\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}
	if n := strings.Count(text.String(), "SMS STATUS REPORT"); n != 2 {
		t.Errorf("%d reports", n)
	}
	r.contents(sent, "f0", "Modem: gsm0\nIMSI: 262019000000000\nSent: 26-01-02 03:04:05\nMessage_id: 1\n")
	r.contents(failed, "f1", "Modem: gsm0\n", "Sent: ", "Fail_reason: The phone was off.")
	r.contents(failed, "f3", "Fail_reason: There is no such number.")
}

// A text that may have been sent is not called failed while that can still turn out, or while an alarm is to be repeated.
func TestPossiblySentIsNotFailedAtOnce(t *testing.T) {
	r := fresh(t)
	r.drop("settled", "To: 4915550101\n\nx")
	r.drop("never", "To: 4915550102\n\nx")
	r.rounds(3)
	set := func(num string, st transports.State) {
		for _, c := range r.jobs() {
			if c.To != num {
				continue
			}
			if _, err := r.queue.Update(context.Background(), c.ID, func(j *transports.Job) bool {
				j.State, j.Error = st, "It is not certain that this text reached "+num+"."
				return true
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	set("+4915550101", transports.PossiblySent)
	set("+4915550102", transports.PossiblySent)
	r.rounds(2)
	r.holds("checked/never", "checked/settled")
	set("+4915550101", transports.Accepted)
	r.rounds(2)
	r.holds("checked/never", "sent/settled")
	r.later = 6 * time.Minute
	r.rounds(2)
	r.holds("failed/never", "sent/settled")
	r.contents(failed, "never", "not certain")
}
