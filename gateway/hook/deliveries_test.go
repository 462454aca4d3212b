package hook

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"doorway/transports"
)

// The list says what was answered, and each delivery can be sent again under its id, however it ended.
func TestResend(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // is not asked
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	to := newReceiver(t, 500, 500, 200, 410, 200)
	r := open(t, filepath.Join(t.TempDir(), "data"), anywhere)
	r.pauses = []time.Duration{time.Hour}
	hook, _, err := r.Add(Hook{URL: to.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := r.Add(Hook{URL: to.URL, Events: []string{ModemUp}}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Emit(t.Context(), SMSAccepted, "a", map[string]string{"id": "sms-1"}); err != nil {
		t.Fatal(err)
	}
	first := r.last(hook.ID).ID
	if _, err := r.Resend(t.Context(), hook.ID, first); !errors.Is(err, ErrRefused) {
		t.Errorf("while it waits to be sent: %v", err)
	}
	stop := r.run()
	ended := func(id uint64, want transports.State, code int) {
		t.Helper()
		d, err := r.Wait(t.Context(), id)
		if err != nil || d.State != want || d.Code != code || d.Event != SMSAccepted {
			t.Fatalf("%+v %v, want %s %d", d, err, want, code)
		}
	}
	resend := func(id uint64) uint64 {
		t.Helper()
		again, err := r.Resend(t.Context(), hook.ID, id)
		if err != nil {
			t.Fatal(err)
		}
		return again
	}
	ended(first, transports.RetryWait, 500)
	second := resend(first) // which takes the place of the one that waits
	ended(second, transports.RetryWait, 500)
	ended(first, transports.Cancelled, 500)
	stop()
	r.stop()
	r = open(t, r.dir, anywhere)
	defer r.stop()
	r.pauses = []time.Duration{time.Hour}
	defer r.run()()
	third := resend(second)
	ended(third, transports.Delivered, 200)
	fourth := resend(third)
	ended(fourth, transports.Failed, http.StatusGone)
	if h, err := r.Get(hook.ID); err != nil || h.Off == "" {
		t.Fatalf("%+v %v", h, err)
	}
	ended(resend(first), transports.Delivered, 200) // also while it is switched off
	to.mu.Lock()
	defer to.mu.Unlock()
	for i, h := range to.got {
		if h.Get("webhook-id") != to.got[0].Get("webhook-id") || to.body[i] != to.body[0] {
			t.Errorf("try %d has another id or body", i)
		}
	}
	l, err := r.Deliveries(hook.ID, 50)
	if err != nil || len(l) != 5 {
		t.Fatalf("%+v %v", l, err)
	}
	var codes []int
	for _, d := range l {
		codes = append(codes, d.Code)
	}
	if !slices.Equal(codes, []int{200, 410, 200, 500, 500}) {
		t.Errorf("codes %v", codes)
	}
	for _, c := range []struct {
		hook string
		id   uint64
	}{{hook.ID, 1 << 40}, {other.ID, first}, {"none", first}} {
		if _, err := r.Resend(t.Context(), c.hook, c.id); !errors.Is(err, ErrUnknown) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Whoever waits for a delivery may leave.
func TestWaitEnds(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "data"), anywhere)
	defer r.stop()
	hook, _, err := r.Add(Hook{URL: "http://127.0.0.1:9"}, "")
	if err != nil {
		t.Fatal(err)
	}
	id, err := r.TestHook(t.Context(), hook.ID)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d, err := r.Wait(ctx, id); err != nil || d.State != transports.Queued { // nobody delivers
		t.Errorf("%+v %v", d, err)
	}
	if _, err := r.Wait(t.Context(), 1<<40); !errors.Is(err, transports.ErrNoJob) {
		t.Error(err)
	}
}
