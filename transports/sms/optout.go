package sms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"doorway/transports"
)

// ErrOptedOut is the Err of a refusal because the recipient wants no texts.
var ErrOptedOut = errors.New("the recipient has opted out")

// optRecord is the record "stop/"+number. It stays when the number opts in again, so that a text that is looked at a
// second time after a crash changes nothing.
type optRecord struct {
	V   int       `json:"v"`
	Out bool      `json:"out"`
	At  time.Time `json:"at"`
	N   uint64    `json:"n,omitempty"` // number of the text that said so; 0: a person of the house
}

// optOuts are the numbers that want no texts.
type optOuts struct {
	table transports.Table

	mu   sync.Mutex // guards rows
	rows map[string]optRecord
}

func (o *optOuts) load(table transports.Table) error {
	o.table, o.rows = table, map[string]optRecord{}
	var bad error
	err := table.Range("stop/", "stop0", false, func(key string, raw []byte) bool {
		r, err := decodeRecord[optRecord](raw)
		if err != nil {
			bad = fmt.Errorf("%s: %w", key, err) // not to be taken for consent
			return false
		}
		o.rows[strings.TrimPrefix(key, "stop/")] = r
		return true
	})
	return errors.Join(err, bad)
}

// has says since when a number wants no texts.
func (o *optOuts) has(num string) (since time.Time, out bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.rows[num]
	return r.At, r.Out
}

// set stores a wish and reports whether it is another one than before; one that came with an older text than
// what is known changes nothing.
func (o *optOuts) set(num string, r optRecord) (changed bool, err error) {
	o.mu.Lock()
	old, known := o.rows[num]
	o.mu.Unlock()
	if known && r.N != 0 && r.N <= old.N {
		return false, nil
	}
	if r.N == 0 {
		r.N = old.N
	}
	if !known && !r.Out {
		return false, nil
	}
	r.V = recordVersion
	if err := o.table.Write(map[string]any{"stop/" + num: r}); err != nil {
		return false, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rows[num] = r
	return r.Out != old.Out, nil
}

// OptOut is a number that wants no texts.
type OptOut struct {
	Number string    `json:"number"`
	Since  time.Time `json:"since"`
}

// OptOuts lists the numbers that want no texts, in order.
func (n *Network) OptOuts() []OptOut {
	s := n.current.Load()
	if s == nil {
		return nil
	}
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	list := []OptOut{}
	for num, r := range s.out.rows {
		if r.Out {
			list = append(list, OptOut{num, r.At})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Number < list[j].Number })
	return list
}

// SetOptOut notes by hand that a number wants no texts, or wants them again, and returns the normalised number and
// whether that is news. It returns after fsync.
func (n *Network) SetOptOut(typed string, out bool) (num string, changed bool, err error) {
	s := n.current.Load()
	if s == nil {
		return "", false, notRunning()
	}
	if num, err = n.normalise(typed); err != nil {
		return "", false, err
	}
	changed, err = s.out.set(num, optRecord{Out: out, At: s.env.Now().Round(0)})
	if out && err == nil {
		s.posts.put(post{kind: postStopped, num: num})
	}
	if err != nil {
		err = down("The wish of "+num+" could not be stored. Try again in a moment.", err)
	}
	return num, changed, err
}

// Answers are what the house says by itself; "" takes the usual words, "-" says nothing.
type Answers struct{ Stop, Start, Help string }

const (
	stopAnswer  = "You will get no more texts from us. Text START to get them again."
	startAnswer = "You will get texts from us again. Text STOP to end them."
	helpAnswer  = "This is a text service of an office. Answer a text to reach the person who wrote it. Text STOP to get no more texts."
)

// The words that count as a whole text, case-folded and without a final stop.
var (
	stopWords  = []string{"stop", "stopall", "unsubscribe", "cancel", "end", "quit"}
	startWords = []string{"start", "yes", "unstop"}
	helpWords  = []string{"help", "?"}
)

// bareWord is a text as the lists of words have it.
func bareWord(body string) string {
	w := strings.ToLower(strings.TrimSpace(body))
	if w == "?" {
		return w
	}
	return strings.TrimSpace(strings.TrimRight(w, ".!?"))
}

const (
	autoEvery   = 24 * time.Hour // in which a number gets at most autoMost answers that nobody wrote
	autoMost    = 5
	helpAtMost  = 24 * time.Hour // between two helps to one number
	plainNumber = "+"            // names and short codes are never answered
)

// autoRecord is the record "auto/"+number.
type autoRecord struct {
	V     int         `json:"v"`
	Times []time.Time `json:"times"`
	Help  time.Time   `json:"help,omitzero"`
}

// auto answers a text by itself, unless that could go on for ever; it reports whether it did. Repeating it after a
// crash sends nothing twice, by the key.
func (r *receiver) auto(num, text, usual, key string, help bool) bool {
	if text == "" {
		text = usual
	}
	if text == "-" || text == "" || !strings.HasPrefix(num, plainNumber) {
		return false
	}
	s := r.s
	now := s.env.Now()
	var rec autoRecord
	if _, err := s.env.Table.Get("auto/"+num, &rec); err != nil {
		s.env.Log.Error("sms record unreadable", "comp", "sms", "ref", "auto", "err", err)
		return false
	}
	rec.Times = slices.DeleteFunc(rec.Times, func(t time.Time) bool { return now.Sub(t).Abs() >= autoEvery })
	if len(rec.Times) >= autoMost || help && now.Sub(rec.Help).Abs() < helpAtMost {
		s.env.Log.Info("sms not answered by itself, there were several answers lately", "comp", "sms", "ref", key)
		return false
	}
	rec.V, rec.Times = recordVersion, append(rec.Times, now)
	if help {
		rec.Help = now
	}
	s.env.Table.Later(map[string]any{"auto/" + num: rec}, func(err error) {
		if err != nil {
			s.env.Log.Error("sms record not written", "comp", "sms", "ref", "auto", "err", err)
		}
	})
	if err := s.n.allowed(num); err != nil {
		return false
	}
	m := transports.Message{Body: text, Key: "auto-" + key}
	if _, err := s.once(context.Background(), m.Key, func() (transports.Ref, error) { return s.put(context.Background(), m, num, true) }); err != nil {
		s.env.Log.Warn("sms answer not sent", "comp", "sms", "ref", key, "err", err)
		return false
	}
	return true
}

// AutoAnswer answers a text by itself, for rules of the house (keywords), under the same guard against loops as the
// answers to STOP and HELP. ref is the text's.
func (n *Network) AutoAnswer(to transports.ContactID, ref transports.Ref, text string) {
	s := n.current.Load()
	if s == nil {
		return
	}
	if _, out := s.out.has(string(to)); out {
		return
	}
	(&receiver{s: s}).auto(string(to), text, "", "rule-"+string(ref), false)
}

func notRunning() *transports.Error {
	return &transports.Error{Kind: transports.Down, Temporary: true,
		Text: "The SMS gateway is not running yet. Try again in a moment."}
}
