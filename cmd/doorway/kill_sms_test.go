package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorway/gateway/control"
	"doorway/modem/emulator"
	"doorway/transports"
)

// twoModems is a doorway with two emulated modems of one network, which run in the test.
type twoModems struct {
	*box
	net   *emulator.Network
	emus  [2]*emulator.Emulator
	token string
}

func newTwoModems(t *testing.T, sms string, phones ...string) *twoModems {
	t.Helper()
	if testing.Short() {
		t.Skip("the whole program runs in `make test`, not with -short")
	}
	var list []emulator.PhoneConfig
	for _, p := range phones {
		list = append(list, emulator.PhoneConfig{Number: p})
	}
	m := &twoModems{net: emulator.NewNetwork(emulator.NetworkConfig{Phones: list})}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = m.net.Run(ctx) }) // ignored: it ends with ctx
	dir, text := t.TempDir(), ""
	for i := range m.emus {
		link := filepath.Join(dir, fmt.Sprintf("modem%d", i))
		e, err := emulator.New(emulator.Config{Link: link, Number: fmt.Sprintf("+491555001%02d", i), Network: m.net,
			IMEI: []string{"490154203237518", "352099001761481"}[i], IMSI: fmt.Sprintf("26201900000000%d", i), ICCID: fmt.Sprintf("894902000000000000%02d", i)})
		if err != nil {
			t.Fatal(err)
		}
		m.emus[i] = e
		wg.Go(func() { _ = e.Run(ctx) }) // ignored: it ends with ctx
		text += fmt.Sprintf("[[modem]]\nname = \"gsm%d\"\ndevice = %q\n", i, link)
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	m.box = startBox(t, text+"[sms]\ncountry = \"49\"\n"+sms)
	out, code := m.run(t, "", "token", "add", "test", "--json")
	var made control.TokenMade
	if err := json.Unmarshal([]byte(out), &made); code != 0 || err != nil {
		t.Fatal(out, err)
	}
	m.token = made.Secret
	return m
}

// post sends a text until the API has taken it; it reports false when ctx ends before.
func (m *twoModems) post(ctx context.Context, url func() string, to, text string) bool {
	body, err := json.Marshal(map[string]any{"to": []string{to}, "text": text})
	if err != nil {
		return false
	}
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url()+"/api/v1/sms", bytes.NewReader(body))
		if err != nil {
			return false
		}
		req.Header.Set("Authorization", "Bearer "+m.token)
		req.Header.Set("Idempotency-Key", strings.ReplaceAll(text, " ", "-"))
		r, err := http.DefaultClient.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, r.Body) // ignored: the status says it
			r.Body.Close()
			if r.StatusCode == http.StatusAccepted {
				return true
			}
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return false
}

// texts reads all texts from the running server.
func (m *twoModems) texts(t *testing.T) map[string]control.SMSText {
	t.Helper()
	all := map[string]control.SMSText{}
	for before := uint64(0); ; {
		var list []control.SMSText
		if err := control.Call(t.Context(), m.dir, "sms.list", control.QueueList{Limit: 1000, Before: before}, &list); err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			if old, ok := all[x.Text]; ok {
				t.Errorf("%s is in the queue twice (%s, %s)", x.Text, old.State, x.State)
			}
			all[x.Text] = x
			before = x.ID
		}
		if len(list) < 1000 {
			return all
		}
	}
}

// done waits until nothing waits any more.
func (m *twoModems) done(t *testing.T, limit time.Duration) {
	t.Helper()
	until(t, limit, func() (bool, string) {
		var q control.QueueAnswer
		if err := control.Call(t.Context(), m.dir, "queue.list", control.QueueList{Limit: 1}, &q); err != nil {
			t.Fatal(err)
		}
		n := q.Counts[transports.Queued] + q.Counts[transports.Leased] + q.Counts[transports.OnAir] + q.Counts[transports.RetryWait]
		return n == 0, fmt.Sprintf("the queue is not done: %v", q.Counts)
	})
}

// size is a number from the environment.
func size(t *testing.T, name string, usual int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return usual
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is no number", name, v)
	}
	return n
}

// TestKillTwoModems sends texts through two modems while their network refuses some and the modems vanish now and then,
// and kills doorway again and again: no text that the API has taken is lost, and none leaves twice unless its chain
// says that it possibly did. DOORWAY_KILL_TEXTS and DOORWAY_KILLS set the size (`make bench-sms`: 10,000 and 50).
func TestKillTwoModems(t *testing.T) {
	texts, kills := size(t, "DOORWAY_KILL_TEXTS", 400), size(t, "DOORWAY_KILLS", 6)
	var phones []string
	for i := range 60 {
		phones = append(phones, fmt.Sprintf("+49155502%02d", i))
	}
	m := newTwoModems(t, "", phones...)
	var url atomic.Value
	url.Store("http://" + m.addr(t, "HTTP"))
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute+time.Duration(texts)*100*time.Millisecond)
	defer cancel()
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))

	var taken atomic.Int64
	var clients sync.WaitGroup // waited for below
	next := make(chan int)
	for range 16 {
		clients.Go(func() {
			for i := range next {
				if m.post(ctx, func() string { return url.Load().(string) }, phones[i%len(phones)], fmt.Sprintf("text %d", i)) {
					taken.Add(1)
				}
			}
		})
	}
	clients.Go(func() {
		defer close(next)
		for i := range texts {
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	})
	for k := range kills {
		// Kills are spread over the texts that left, not over time: a slow machine gets as far as a fast one.
		goal := texts * (k + 1) / (kills + 2)
		until(t, 5*time.Minute, func() (bool, string) { return m.left() >= goal, fmt.Sprintf("%d texts have left", m.left()) })
		for range texts/kills/20 + 1 {
			// Of one number, so that they do not come in a row: that would be an outage, in which modems rest.
			m.net.Fail(emulator.Fault{To: phones[rnd.IntN(len(phones))], Cause: []int{17, 42, 192, 314, 331, 500, 21}[rnd.IntN(7)]})
		}
		if k%4 == 1 {
			m.emus[rnd.IntN(2)].Vanish(500 * time.Millisecond)
		}
		select {
		case <-time.After(time.Duration(rnd.IntN(300)) * time.Millisecond):
		case <-ctx.Done():
		}
		m.process.kill(t)
		m.start(t)
		url.Store("http://" + m.addr(t, "HTTP"))
	}
	clients.Wait()
	if int(taken.Load()) != texts {
		t.Fatalf("%d of %d texts were taken", taken.Load(), texts)
	}
	m.net.ClearFaults()
	m.done(t, 8*time.Minute)
	m.settle(t)
	m.verify(t, texts)
}

// left counts the texts that the service centre has.
func (m *twoModems) left() int {
	n := 0
	for _, e := range m.emus {
		n += len(e.Submits())
	}
	return n
}

// settle waits until no more reports come in.
func (m *twoModems) settle(t *testing.T) {
	t.Helper()
	last, same := -1, 0
	until(t, 2*time.Minute, func() (bool, string) {
		var q control.QueueAnswer
		if err := control.Call(t.Context(), m.dir, "queue.list", control.QueueList{Limit: 1}, &q); err != nil {
			t.Fatal(err)
		}
		if n := q.Counts[transports.Accepted]; n != last {
			last, same = n, 0
		} else {
			same++
		}
		return last == 0 || same >= 20, "reports still come in"
	})
}

// verify holds the queue against what the service centre got.
func (m *twoModems) verify(t *testing.T, texts int) {
	t.Helper()
	all := m.texts(t)
	aired, by := map[string]int{}, [2]int{}
	for i, e := range m.emus {
		for _, s := range e.Submits() {
			aired[s.Text] += s.Count
			by[i] += s.Count
		}
	}
	twice, unsure, states := 0, 0, map[transports.State]int{}
	for i := range texts {
		text := fmt.Sprintf("text %d", i)
		x, ok := all[text]
		states[x.State]++
		switch {
		case !ok:
			t.Errorf("%s was taken and is lost", text)
			continue
		case x.State == transports.PossiblySent:
			unsure++
		case x.State == transports.Failed && aired[text] == 0: // cause 21 twice: refused, and its sender was told
		case x.State != transports.Delivered && x.State != transports.Accepted && x.State != transports.SentUnconfirmed:
			t.Errorf("%s ended as %s: %s", text, x.State, x.Error)
		case aired[text] == 0:
			t.Errorf("%s is %s and never reached the network", text, x.State)
		}
		if aired[text] > 1 {
			twice++
			if out, _ := m.run(t, "", "sms", "show", fmt.Sprint(x.ID)); !strings.Contains(out, string(transports.PossiblySent)) {
				t.Errorf("%s left %d times and its chain never says possibly-sent", text, aired[text])
			}
		}
	}
	t.Logf("%d texts: %v; %d left twice, %d possibly sent; the modems sent %d and %d", texts, states, twice, unsure, by[0], by[1])
}

// TestFailoverOfModems takes one of two modems away under load: the other one sends everything, and health says so.
func TestFailoverOfModems(t *testing.T) {
	m := newTwoModems(t, "failover = \"1s\"\n", "+4915550201", "+4915550202", "+4915550203", "+4915550204")
	url := "http://" + m.addr(t, "HTTP")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	texts := 0
	// Both send in turn; the first one goes once it has sent something.
	until(t, 90*time.Second, func() (bool, string) {
		if !m.post(ctx, func() string { return url }, "+4915550201", fmt.Sprintf("text %d", texts)) {
			return false, "a text is not taken"
		}
		texts++
		return len(m.emus[0].Submits()) > 0, "the first modem sends nothing"
	})
	m.emus[0].Vanish(time.Hour)
	first := texts
	texts += 80
	var clients sync.WaitGroup // waited for below
	for c := range 4 {
		clients.Go(func() {
			for i := first + c; i < texts; i += 4 {
				if !m.post(ctx, func() string { return url }, fmt.Sprintf("+491555020%d", c+1), fmt.Sprintf("text %d", i)) {
					t.Errorf("text %d is not taken", i)
				}
			}
		})
	}
	clients.Wait()
	m.done(t, 2*time.Minute)
	m.verify(t, texts)
	if len(m.emus[1].Submits()) == 0 {
		t.Error("the other modem sent nothing")
	}
	until(t, time.Minute, func() (bool, string) {
		body := httpGet(t, url+"/healthz", http.StatusOK)
		return strings.Contains(body, "gsm0"), "health does not name the modem: " + body
	})
	if body := httpGet(t, url+"/metrics", http.StatusOK); !strings.Contains(body, `doorway_modem_ready{modem="gsm0"} 0`) || !strings.Contains(body, `doorway_modem_parts_day{modem="gsm1"}`) {
		t.Errorf("metrics: %s", body)
	}
}
