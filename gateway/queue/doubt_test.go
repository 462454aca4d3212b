package queue

import (
	"context"
	"testing"
	"time"

	"doorway/transports"
)

// After an older copy of the data came into use, nothing that waited in it is
// sent by itself: it may have been sent since. A person may send it again.
func TestJobsOfACopyAreNotSentByThemselves(t *testing.T) {
	r := newRig(t)
	waits := r.put(transports.Job{Dest: "+1", Payload: []byte("waits")})
	air := r.put(transports.Job{Dest: "+2", Payload: []byte("air")})
	late := r.put(transports.Job{Dest: "+3", NotBefore: time.Now().Add(time.Hour)})
	done := r.put(transports.Job{Dest: "+4"})
	move := func(id uint64, s transports.State) {
		if _, err := r.q.Update(t.Context(), id, func(j *transports.Job) bool { j.State = s; return true }); err != nil {
			t.Fatal(err)
		}
	}
	move(air, transports.OnAir)
	move(done, transports.Accepted)
	r.reopen()
	n, err := r.q.Doubt(t.Context(), func(j *transports.Job) {
		if j.ID == air {
			j.Payload, j.Error = []byte("seen"), "The network says so."
		}
	})
	if n != 3 || err != nil {
		t.Fatalf("%d jobs in doubt, %v", n, err)
	}
	r.reopen()
	r.counts(map[transports.State]int{transports.PossiblySent: 3, transports.Accepted: 1})
	for id, want := range map[uint64]string{waits: inDoubt, air: "The network says so.", late: inDoubt} {
		if j := r.get(id); j.State != transports.PossiblySent || j.Error != want || j.History[len(j.History)-1].Note != want {
			t.Errorf("job %d: %+v", id, j)
		}
	}
	if j := r.get(air); string(j.Payload) != "seen" {
		t.Errorf("payload %q", j.Payload)
	}
	if n, err := r.q.Doubt(t.Context(), nil); n != 0 || err != nil {
		t.Errorf("the second time %d jobs, %v", n, err)
	}
	if err := r.q.Requeue(waits); err != nil {
		t.Fatal(err)
	}
	if j := r.get(waits); j.Error != "" {
		t.Errorf("queued, it still says: %s", j.Error)
	}
	served := make(chan uint64, 4)
	stop := r.serve(1, func(_ context.Context, it transports.Item) error {
		served <- it.Job().ID
		return it.Save(transports.Delivered, nil, "")
	})
	if id := <-served; id != waits {
		t.Errorf("served %d", id)
	}
	stop()
	if len(served) != 0 {
		t.Errorf("job %d was served too", <-served)
	}
}
