package hook

import (
	"context"
	"strconv"
	"time"

	"doorway/modem"
	"doorway/transports"
)

// received is the data of sms.received.
type received struct {
	ID          string    `json:"id"`
	From        string    `json:"from"`
	Text        string    `json:"text"`
	Kind        string    `json:"kind,omitempty"`
	ReceivedAt  time.Time `json:"received_at"`
	NetworkTime time.Time `json:"network_time,omitzero"`
	Corrects    string    `json:"corrects,omitempty"`
}

// outcome is the data of sms.accepted, sms.delivered and sms.failed.
type outcome struct {
	ID     string           `json:"id"`
	To     string           `json:"to"`
	Sender string           `json:"sender,omitempty"`
	State  transports.State `json:"state"`
	At     time.Time        `json:"at"`
	Cause  string           `json:"cause,omitempty"` // a sentence
}

// Incoming emits sms.received; it is an interceptor of the bridge that takes nothing.
func (h *Hooks) Incoming(ctx context.Context, m transports.Message) (taken bool, err error) {
	d := received{ID: string(m.Ref), From: string(m.From), Text: m.Body, Kind: m.Kind, ReceivedAt: h.o.Now().UTC(), Corrects: string(m.Replace)}
	if m.Delayed {
		d.NetworkTime = m.At.UTC()
	}
	return false, h.Emit(ctx, SMSReceived, SMSReceived+" "+d.ID, d)
}

// Receipt emits what became of a sent text. All ends that are not delivered are sms.failed; its state tells them apart,
// and possibly-sent is one of them.
func (h *Hooks) Receipt(ctx context.Context, r transports.Receipt) error {
	event := ""
	switch r.State {
	case transports.Accepted:
		event = SMSAccepted
	case transports.Delivered:
		event = SMSDelivered
	case transports.Failed, transports.Expired, transports.Cancelled, transports.PossiblySent:
		event = SMSFailed
	default:
		return nil
	}
	d := outcome{ID: string(r.Ref), To: string(r.To), Sender: r.Sender, State: r.State, At: r.At.UTC()}
	if r.Err != nil {
		d.Cause = r.Err.Text
	}
	key := "sms " + d.ID + " " + string(r.State)
	if r.Again > 0 {
		key += " " + strconv.Itoa(r.Again)
	}
	return h.Emit(ctx, event, key, d)
}

// modemEvery is how often modems are looked at, and downAfter how long one must be unable to send before that is told.
const (
	modemEvery = 15 * time.Second
	downAfter  = time.Minute
)

// Watch emits modem.up and modem.down until ctx ends; status is asked now and then.
func (h *Hooks) Watch(ctx context.Context, status func() []modem.Status) error {
	type seen struct {
		up    bool
		since time.Time // of the other state; zero while it holds
	}
	known := map[string]*seen{}
	t := time.NewTicker(modemEvery)
	defer t.Stop()
	for {
		now := h.o.Now()
		for _, m := range status() {
			up := m.State == modem.Ready
			s := known[m.Name]
			if s == nil {
				known[m.Name] = &seen{up: up}
				continue
			}
			if s.up == up {
				s.since = time.Time{}
				continue
			}
			if s.since.IsZero() {
				s.since = now
			}
			if !up && now.Sub(s.since) < downAfter {
				continue
			}
			event := ModemDown
			if up {
				event = ModemUp
			}
			data := map[string]any{"modem": m.Name, "state": m.State, "text": m.Text, "at": now.UTC()}
			if err := h.Emit(ctx, event, event+" "+m.Name+" "+now.UTC().Format(time.RFC3339Nano), data); err != nil {
				h.o.Log.Error("webhook event not stored, tried again", "comp", "hook", "net", m.Name, "err", err)
				continue
			}
			s.up, s.since = up, time.Time{}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}
