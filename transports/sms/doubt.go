package sms

import (
	"time"

	"doorway/modem"
	"doorway/transports"
)

// oldCopy is why a text is in doubt after a restore.
const oldCopy = "an older copy of the gateway's data came into use, and the text may have been sent since that copy was made. Ask, or send it again."

// Doubt makes possibly-sent what of a waiting text is not known to be out,
// because the outbox is an older copy of one that went on. Also an urgent text
// is not repeated by itself then. It is meant for the outbox before a Session
// runs.
func (n *Network) Doubt(job *transports.Job) {
	j, err := decodeJournal(job.Payload)
	if err != nil {
		return // ignored: the outbox has its own words for it
	}
	for i := range j.Parts {
		if p := &j.Parts[i]; p.unsent() || p.State == transports.OnAir {
			// Done stays empty: there is no report to wait for before the sender is told.
			p.State, p.Done = transports.PossiblySent, time.Time{}
			p.Class, p.Reason = string(modem.ClassAmbiguous), oldCopy
		}
	}
	j.Resent = true
	j.State = j.overall()
	job.State, job.Payload, job.Error = j.State, j.encode(), j.reason()
}
