package health

import (
	"testing"
	"time"
)

func TestFindings(t *testing.T) {
	now := time.Unix(1000, 0)
	h := New(func() time.Time { return now })
	if h.Worst() != "" || len(h.List()) != 0 {
		t.Fatal("a new Health is not well")
	}
	if !h.Set("modem gsm0", Warning, "no modem") {
		t.Error("first Set changed nothing")
	}
	if h.Set("modem gsm0", Warning, "no modem") {
		t.Error("the same Set again changed something")
	}
	now = now.Add(time.Minute)
	h.Set("modem gsm0", Failure, "no SIM")
	h.Set("a", Info, "x")
	l := h.List()
	if len(l) != 2 || l[0].Name != "modem gsm0" || l[0].Text != "no SIM" || !l[0].Since.Equal(time.Unix(1000, 0)) {
		t.Errorf("list %+v", l)
	}
	if h.Worst() != Failure {
		t.Errorf("worst %q", h.Worst())
	}
	if !h.Clear("modem gsm0") || h.Clear("modem gsm0") {
		t.Error("Clear is wrong about what was raised")
	}
	h.CountPanic()
	if h.Panics() != 1 {
		t.Errorf("panics %d", h.Panics())
	}
}
