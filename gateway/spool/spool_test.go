package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"doorway/gateway/health"
	"doorway/gateway/queue"
	"doorway/gateway/store"
	"doorway/modem"
	"doorway/transports"
	"doorway/transports/sms"
)

// fragile is a table that stops to write after some writes, as if the program had been killed.
type fragile struct {
	Table
	left int // -1: for ever
}

var errKilled = errors.New("killed")

func (f *fragile) Write(c map[string]any) error {
	if f.left == 0 {
		return errKilled
	}
	if f.left > 0 {
		f.left--
	}
	return f.Table.Write(c)
}

// rig is a spool on a store, a queue and the SMS network, without a modem. The test makes the rounds and decides.
type rig struct {
	t      testing.TB
	data   string
	dir    string
	store  *store.Store
	queue  *queue.Queue
	sms    *sms.Network
	table  *fragile
	health *health.Health
	later  time.Duration // added to the clock
	latin  bool
	*Spool
}

func newRig(t testing.TB, data, dir string) *rig {
	t.Helper()
	r := &rig{t: t, data: data, dir: dir, health: health.New(time.Now)}
	die := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	r.store, err = store.Open(data, store.Options{NoSync: true})
	die(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.store.Run(ctx) }() // waited for below
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, r.store.Check(), r.store.Close()); err != nil {
			t.Error(err)
		}
	})
	r.queue, err = queue.Open(r.store, queue.Options{Network: "sms", Changed: func(j transports.Job) { r.Spool.Changed(j) }})
	die(err)
	r.sms = sms.New(sms.Config{Country: "49"})
	_, err = r.sms.Dial(ctx, transports.Account{}, transports.Env{Table: r.store.Table("sms"), Outbox: r.queue})
	die(err)
	r.table = &fragile{Table: r.store.Table("spool"), left: -1}
	r.restart()
	return r
}

// restart is the program begun anew.
func (r *rig) restart() {
	r.table.left = -1
	r.Spool = New(Options{Dir: r.dir, Latin: r.latin, Keep: 30 * 24 * time.Hour, SMS: r.sms, Queue: r.queue, Table: r.table, Health: r.health,
		Modems: func() []modem.Status { return []modem.Status{{Name: "gsm0", IMSI: "262019000000000"}} },
		Now:    func() time.Time { return time.Now().Add(r.later) }})
	if err := errors.Join(r.prepare(), r.load()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) rounds(n int) {
	r.t.Helper()
	for range n {
		if err := r.round(context.Background()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// drop writes a file into outgoing at once, as mv does.
func (r *rig) drop(name, text string) {
	r.t.Helper()
	tmp := filepath.Join(r.dir, name)
	if err := os.WriteFile(tmp, []byte(text), 0o660); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(tmp, r.path(outgoing, name)); err != nil {
		r.t.Fatal(err)
	}
}

// jobs are the texts in the queue, the oldest first.
func (r *rig) jobs() []sms.Chain {
	r.t.Helper()
	list, err := r.queue.List(transports.Filter{})
	if err != nil {
		r.t.Fatal(err)
	}
	var out []sms.Chain
	for i := len(list) - 1; i >= 0; i-- {
		c, err := r.sms.Describe(list[i])
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

// decide ends all texts that wait, by number; others are accepted.
func (r *rig) decide(states map[string]transports.State) {
	r.t.Helper()
	for _, c := range r.jobs() {
		if !waits(c.State) {
			continue
		}
		if _, err := r.queue.Update(context.Background(), c.ID, func(j *transports.Job) bool {
			j.State = transports.Accepted
			if s, ok := states[c.To]; ok {
				j.State, j.Error = s, "The number "+c.To+" does not exist."
			}
			return true
		}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// all lists the files of all folders.
func (r *rig) all() []string {
	r.t.Helper()
	list := []string{}
	for _, folder := range []string{outgoing, checked, sent, failed, incoming} {
		entries, err := os.ReadDir(r.path(folder, ""))
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range entries {
			list = append(list, folder+"/"+e.Name())
		}
	}
	sort.Strings(list)
	return list
}

func (r *rig) holds(want ...string) {
	r.t.Helper()
	if got := r.all(); strings.Join(got, " ") != strings.Join(want, " ") {
		r.t.Fatalf("the folders hold %v, want %v", got, want)
	}
}

func (r *rig) contents(folder, name string, want ...string) {
	r.t.Helper()
	b, err := os.ReadFile(r.path(folder, name))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, w := range want {
		if !strings.Contains(string(b), w) {
			r.t.Errorf("%s/%s lacks %q:\n%s", folder, name, w, b)
		}
	}
}

func fresh(t *testing.T) *rig {
	return newRig(t, filepath.Join(t.TempDir(), "data"), t.TempDir())
}

func TestSentAndFailed(t *testing.T) {
	r := fresh(t)
	r.drop("good", "To: 4915550101\nRetry: 1\nAlphabet: UCS2\n\n\x04\x1f")
	r.rounds(1)
	r.holds("outgoing/good") // once more
	r.rounds(1)
	r.holds("checked/good")
	r.rounds(3)
	r.holds("checked/good")
	r.drop("bad", "To: 4915550102\nFrom: me\n\nx\n")
	r.drop("both", "To: 4915550103, 4915550102\nTo: 00\n\nx")
	r.drop("never", "To: nobody\n\nx")
	r.drop("binary", "To: 4915550101\nAlphabet: bin\n\n\x01\x02")
	r.rounds(2)
	r.decide(map[string]transports.State{"+4915550102": transports.Failed})
	r.rounds(2)
	r.holds("failed/bad", "failed/binary", "failed/both", "failed/never", "sent/both", "sent/good")
	r.contents(sent, "good", "To: 4915550101\nRetry: 1\nAlphabet: UCS2\nMessage_id: 1\n\n\x04\x1f")
	r.contents(failed, "bad", "To: 4915550102\nFrom: me\nFailed: ", "\nFail_reason: The number +4915550102 does not exist.\n\nx\n")
	r.contents(sent, "both", "To: 4915550103\nMessage_id: ", "\n\nx")
	r.contents(failed, "both", "To: 4915550102, 00\nFailed: ", "+4915550102: The number", " 00: ")
	r.contents(failed, "never", "To: nobody\n", "Fail_reason: ")
	r.contents(failed, "binary", "Fail_reason: Binary messages", "\n\n\x01\x02")
	if n := len(r.jobs()); n != 4 {
		t.Errorf("%d texts", n)
	}
	if _, ok := r.owners[1]; ok || len(r.claims)+len(r.owners) > 0 {
		t.Errorf("%d claims, owners %v", len(r.claims), r.owners)
	}
	// What has failed is put into outgoing again, as smsresend does.
	if err := os.Rename(r.path(failed, "both"), r.path(outgoing, "both")); err != nil {
		t.Fatal(err)
	}
	r.rounds(3)
	r.decide(nil)
	r.rounds(2)
	r.contents(sent, "both.1", "To: 4915550102\nMessage_id: 5\n")
	if st, err := os.Stat(r.path(sent, "both.1")); err != nil || st.Mode().Perm() != 0o640 {
		t.Error(st, err)
	}
	// Old ones go.
	r.later = 32 * 24 * time.Hour
	r.rounds(1)
	r.holds()
}

func TestOptions(t *testing.T) {
	r := fresh(t)
	r.drop("a", "To: 4915550101\nFlash: yes\nPriority: High\nValidity: 2 hours\nReport: yes\n\none")
	r.drop("b", "To: 4915550101\nProvider: gsm9\n\ntwo")
	r.rounds(4)
	j := r.jobs()
	if len(j) != 1 || !j[0].Flash || !j[0].Urgent || j[0].Deadline.Sub(j[0].Created).Round(time.Minute) != 2*time.Hour {
		t.Errorf("%+v", j)
	}
	r.contents(failed, "b", "gsm9")
	job, err := r.queue.Get(j[0].ID)
	if err != nil || !strings.HasPrefix(job.Key, reported) {
		t.Errorf("%q %v", job.Key, err)
	}
	if err := r.queue.Cancel(j[0].ID); err != nil {
		t.Fatal(err)
	}
	r.rounds(2)
	r.contents(failed, "a", "Fail_reason: The text was cancelled.", "Flash: yes")
}

func TestHalfWritten(t *testing.T) {
	r := fresh(t)
	f, err := os.OpenFile(r.path(outgoing, "slow"), os.O_CREATE|os.O_WRONLY, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, piece := range []string{"", "To: 49155501", "01\n", "\n", "one", " two"} {
		if _, err := f.WriteString(piece); err != nil {
			t.Fatal(err)
		}
		r.rounds(1)
	}
	r.holds("outgoing/slow")
	r.drop("locked", "To: 4915550102\n\nx")
	lock := r.path(outgoing, "locked.LOCK")
	if err := os.WriteFile(lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.rounds(4)
	r.holds("checked/slow", "outgoing/locked", "outgoing/locked.LOCK")
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	r.drop(".hidden", "To: 4915550102\n\nx")
	r.rounds(3)
	r.holds("checked/locked", "checked/slow", "outgoing/.hidden")
	if j := r.jobs(); len(j) != 2 || j[0].Body != "one two" {
		t.Errorf("%+v", j)
	}
}

func TestRefused(t *testing.T) {
	r := fresh(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("To: 4915550101\n\nsecret"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := errors.Join(os.Symlink(secret, r.path(outgoing, "soft")), os.Link(secret, r.path(outgoing, "hard")), os.Mkdir(r.path(outgoing, "folder"), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	r.drop("large", "To: 4915550101\n\n"+strings.Repeat("x", mostBytes))
	r.drop("empty", "")
	r.drop("cut", "To: 4915550101\n")
	rest := []string{"outgoing/folder"}
	if os.Geteuid() != 0 {
		r.drop("closed", "To: 4915550101\n\nx")
		if err := os.Chmod(r.path(outgoing, "closed"), 0); err != nil {
			t.Fatal(err)
		}
		rest = append([]string{"failed/closed", "failed/closed.orig"}, rest...)
	}
	r.rounds(3)
	if len(r.jobs()) != 0 {
		t.Fatalf("%+v", r.jobs())
	}
	r.contents(failed, "soft", "Fail_reason: The file is a symbolic link")
	r.contents(failed, "large", "Fail_reason: The file is larger than 128 KB.")
	for _, name := range []string{"empty", "cut", "hard"} { // they may still become something
		if _, err := os.Lstat(r.path(outgoing, name)); err != nil {
			t.Error(err)
		}
	}
	r.later = 2 * patience
	r.rounds(4)
	all := append(rest, "failed/cut", "failed/empty", "failed/hard", "failed/hard.orig", "failed/large", "failed/large.orig", "failed/soft")
	sort.Strings(all)
	r.holds(all...)
	r.contents(failed, "cut", "Fail_reason: There is no text.")
	r.contents(failed, "hard", "hard link")
	if len(r.jobs()) != 0 {
		t.Errorf("%+v", r.jobs())
	}
}

// TestCut stops the program after each write to the table: begun anew, it sends each text once, and the file ends in its place.
func TestCut(t *testing.T) {
	for n := range 5 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := fresh(t)
			r.drop("a", "To: 4915550101, 4915550102\n\nx")
			r.table.left = n
			for range 8 {
				if err := r.round(context.Background()); err != nil && !errors.Is(err, errKilled) {
					t.Fatal(err)
				}
				r.decide(map[string]transports.State{"+4915550102": transports.Expired})
			}
			r.restart()
			r.rounds(4)
			r.decide(map[string]transports.State{"+4915550102": transports.Expired})
			r.rounds(2)
			r.holds("failed/a", "sent/a")
			if j := r.jobs(); len(j) != 2 {
				t.Errorf("%d texts: %+v", len(j), j)
			}
		})
	}
}

func TestUncertain(t *testing.T) {
	r := fresh(t)
	if err := os.WriteFile(r.path(checked, "smsd.1"), []byte("To: 4915550101\n\nx"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.drop("a", "To: 4915550101\n\nx")
	r.table.left = 1
	for range 3 {
		_ = r.round(context.Background()) // ignored: it is meant to fail
	}
	r.later = 48 * time.Hour
	r.restart()
	r.rounds(4)
	r.holds("failed/a", "failed/smsd.1")
	r.contents(failed, "a", "did not run for two days")
	r.contents(failed, "smsd.1", "know nothing of it", "\n\nx")
}

func TestIncoming(t *testing.T) {
	for _, latin := range []bool{false, true} {
		r := fresh(t)
		r.latin = latin
		r.restart()
		texts := []transports.Message{
			{Ref: "r1", From: "+4915550101", Body: "Grüße, 5 €", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)},
			{Ref: "r2", From: "Bank\nX: y", Body: "Привет", Kind: sms.KindFlash},
		}
		for range 2 { // offered again
			for _, m := range texts {
				if taken, err := r.Incoming(context.Background(), m); taken || err != nil {
					t.Fatal(taken, err)
				}
			}
			r.rounds(1)
		}
		files := r.all()
		if len(files) != 2 {
			t.Fatal(files)
		}
		var both strings.Builder
		for _, f := range files {
			b, err := os.ReadFile(filepath.Join(r.dir, f))
			if err != nil {
				t.Fatal(err)
			}
			both.Write(b)
		}
		want := []string{"From: 4915550101\nSent: 26-01-02 03:04:05\nReceived: ", "UDH: false\nAlphabet: UTF-8\nLength: 10\n\nGrüße, 5 €", "From: Bank X: y\n", "Flash: yes\n", "Alphabet: UTF-8\nLength: 6\n\nПривет"}
		if latin {
			want = []string{"Alphabet: ISO\nLength: 10\n\nGr\xfc\xdfe, 5 \xa4", "Alphabet: UCS2\nLength: 6\n\n\x04\x1f\x04"}
		}
		for _, w := range want {
			if !strings.Contains(both.String(), w) {
				t.Errorf("%q is missing in\n%s", w, both.String())
			}
		}
		for _, f := range files {
			if err := os.Remove(filepath.Join(r.dir, f)); err != nil {
				t.Fatal(err)
			}
		}
		r.restart()
		r.rounds(2)
		r.holds() // what a script has taken does not come again
	}
}

// TestFolderGone: without its folders nothing is lost, somebody is told, and it goes on by itself.
func TestFolderGone(t *testing.T) {
	r := fresh(t)
	if err := os.RemoveAll(r.path(incoming, "")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.path(incoming, ""), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Incoming(context.Background(), transports.Message{Ref: "r1", From: "+4915550101", Body: "x"}); err != nil {
		t.Fatal(err)
	}
	err := errors.Join(r.prepare(), r.round(context.Background()))
	if r.warn(context.Background(), err); len(r.health.List()) != 1 || !strings.Contains(r.health.List()[0].Text, "is no folder") {
		t.Fatal(err, r.health.List())
	}
	if err := os.Remove(r.path(incoming, "")); err != nil {
		t.Fatal(err)
	}
	err = errors.Join(r.prepare(), r.round(context.Background()))
	if r.warn(context.Background(), err); err != nil || len(r.health.List()) != 0 || len(r.all()) != 1 {
		t.Fatal(err, r.health.List(), r.all())
	}
}
