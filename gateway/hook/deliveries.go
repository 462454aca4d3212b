package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"doorway/transports"
)

// Delivery is one event on its way to one hook.
type Delivery struct {
	ID       uint64            `json:"id"`
	Event    string            `json:"event"`
	State    transports.State  `json:"state"` // queued, leased, retry-wait, delivered, failed or cancelled
	Attempts int               `json:"attempts"`
	Code     int               `json:"code,omitempty"` // that the receiver answered to the last attempt; 0 for no answer
	Created  time.Time         `json:"created"`
	Next     time.Time         `json:"next,omitzero"`
	Error    string            `json:"error,omitempty"`
	Steps    []transports.Step `json:"steps"`
}

// payload is the outbox job of a delivery.
type payload struct {
	Hook   string          `json:"hook"`
	ID     string          `json:"id"` // webhook-id
	Event  string          `json:"event"`
	Body   json.RawMessage `json:"body"`
	Code   int             `json:"code,omitempty"`   // of the last answer
	Number uint64          `json:"number,omitempty"` // of the delivery that this one repeats, 0 for none
}

// byHand is the priority of deliveries that a person waits for.
const byHand = 10

// TestHook stores a test delivery for one hook, also when it is switched off; ErrUnknown.
func (h *Hooks) TestHook(ctx context.Context, id string) (uint64, error) {
	if _, ok := h.get(id); !ok {
		return 0, unknown(id)
	}
	now := h.o.Now()
	body, err := json.Marshal(map[string]any{"type": Test, "timestamp": now.UTC().Format(time.RFC3339), "data": map[string]string{"text": "This is a test from doorway."}})
	if err != nil {
		return 0, err
	}
	return h.put(ctx, payload{Hook: id, Event: Test, Body: body}, "")
}

// Resend stores a delivery again that has ended or waits for its next attempt, under the same webhook-id, also when the hook is
// switched off. ErrUnknown; ErrRefused while it is on its way.
func (h *Hooks) Resend(ctx context.Context, id string, delivery uint64) (uint64, error) {
	j, err := h.queue.Get(delivery)
	var p payload
	if err == nil {
		err = json.Unmarshal(j.Payload, &p)
	}
	switch {
	case errors.Is(err, transports.ErrNoJob), err == nil && p.Hook != id:
		return 0, &Error{Text: fmt.Sprintf("Webhook %.40s has no delivery %d. `doorway webhook show %.40s` lists the last ones; they are kept for three days, and for seven when they failed.", id, delivery, id), Err: ErrUnknown}
	case err != nil:
		return 0, err
	case j.State == transports.Queued, j.State == transports.Leased:
		return 0, &Error{Text: "This delivery is on its way already.", Err: ErrRefused}
	}
	if _, ok := h.get(id); !ok {
		return 0, unknown(id)
	}
	if p.Number == 0 {
		p.Number = j.ID
	}
	p.Code = 0
	again, err := h.put(ctx, p, "")
	if err == nil && j.State == transports.RetryWait {
		if err := h.queue.Cancel(j.ID); err != nil {
			h.o.Log.Debug("webhook delivery goes on beside its repetition", "comp", "hook", "ref", id, "job", j.ID, "err", err)
		}
	}
	return again, err
}

// Deliveries lists the newest deliveries of a hook; ErrUnknown.
func (h *Hooks) Deliveries(id string, limit int) ([]Delivery, error) {
	if _, ok := h.get(id); !ok {
		return nil, unknown(id)
	}
	jobs, err := h.queue.List(transports.Filter{Dest: id, Limit: limit})
	if err != nil {
		return nil, err
	}
	list := []Delivery{}
	for _, j := range jobs {
		list = append(list, shown(j))
	}
	return list, nil
}

func shown(j transports.Job) Delivery {
	d := Delivery{ID: j.ID, State: j.State, Attempts: j.Attempts, Created: j.Created, Error: j.Error, Steps: j.History}
	if j.State == transports.RetryWait {
		d.Next = j.NotBefore
	}
	var p payload
	if json.Unmarshal(j.Payload, &p) == nil {
		d.Event, d.Code = p.Event, p.Code
	}
	return d
}

// Wait returns a delivery when its attempt has ended, or as it is when ctx ends.
func (h *Hooks) Wait(ctx context.Context, delivery uint64) (Delivery, error) {
	t := time.NewTicker(50 * time.Millisecond) // a person waits, now and then
	defer t.Stop()
	for {
		j, err := h.queue.Get(delivery)
		if err != nil || j.State != transports.Queued && j.State != transports.Leased {
			return shown(j), err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return shown(j), nil
		}
	}
}
