package spool

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doorway/gateway/killtest"
	"doorway/gateway/queue"
	"doorway/gateway/store"
	"doorway/transports"
	"doorway/transports/sms"
)

// TestKill kills a spool at any moment while files are dropped and texts are sent: each file that was dropped as a whole
// becomes one text, and one file in sent.
func TestKill(t *testing.T) {
	if d := killtest.Dir(); d != "" {
		workUntilKilled(d)
		return
	}
	rounds := 6
	if testing.Short() {
		rounds = 3
	}
	root := t.TempDir()
	dropped := map[string]bool{}
	killtest.Rounds(rounds, func(int) {
		killtest.Run(t, root, 60, 100*time.Millisecond, func(line string) { dropped[line] = true })
	}, func() bool { return len(dropped) >= 50 })

	r := newRig(t, filepath.Join(root, "data"), filepath.Join(root, "spool"))
	for range len(dropped)/atOnce + 10 {
		r.rounds(2)
		r.decide(nil)
	}
	texts, files := map[string]int{}, map[string]int{}
	for _, j := range r.jobs() {
		texts[j.Body]++
	}
	for _, name := range r.all() {
		folder, base, _ := strings.Cut(name, "/")
		files[base]++
		if folder != sent {
			t.Errorf("%s remains", name)
		}
	}
	for name := range dropped {
		if texts[name] != 1 || files[name] != 1 {
			t.Errorf("%s is %d times in the queue and %d times in the folders", name, texts[name], files[name])
		}
	}
	for text, n := range texts {
		if n != 1 {
			t.Errorf("%s is %d times in the queue", text, n)
		}
	}
	t.Logf("%d files, %d texts", len(dropped), len(texts))
}

// workUntilKilled drops files, says so, makes rounds and sends what is in the queue.
func workUntilKilled(root string) {
	s, err := store.Open(filepath.Join(root, "data"), store.Options{})
	killtest.Die(err)
	ctx := context.Background()
	go func() { killtest.Die(s.Run(ctx)) }() // it ends with the process
	var sp *Spool
	q, err := queue.Open(s, queue.Options{Network: "sms", Changed: func(j transports.Job) { sp.Changed(j) }})
	killtest.Die(err)
	n := sms.New(sms.Config{Country: "49"})
	_, err = n.Dial(ctx, transports.Account{}, transports.Env{Table: s.Table("sms"), Outbox: q})
	killtest.Die(err)
	dir := filepath.Join(root, "spool")
	sp = New(Options{Dir: dir, SMS: n, Queue: q, Table: s.Table("spool")})
	killtest.Die(sp.prepare())
	killtest.Die(sp.load())
	for i := 0; ; i++ {
		name := fmt.Sprintf("send_%d_%d", os.Getpid(), i)
		tmp := filepath.Join(root, name)
		killtest.Die(os.WriteFile(tmp, []byte("To: 4915550101\n\n"+name+"\n"), 0o660))
		killtest.Die(os.Rename(tmp, sp.path(outgoing, name)))
		fmt.Println(name)
		killtest.Die(sp.round(ctx))
		jobs, err := q.List(transports.Filter{States: []transports.State{transports.Queued}})
		killtest.Die(err)
		for _, j := range jobs {
			_, err := q.Update(ctx, j.ID, func(j *transports.Job) bool { j.State = transports.Accepted; return true })
			killtest.Die(err)
		}
	}
}
