package c2s

import "time"

// pace limits the input of one stream. What was sent beyond the rates is a
// debt in time. Up to one burst of it costs nothing; above that the reader
// waits before it reads on, nine tenths of what the new input costs, so that
// the client is slowed down to little more than its rate. A client that goes
// on until the debt is ten bursts is put out. It belongs to the reader.
type pace struct {
	until int64 // when the debt is paid, Unix nanoseconds
	fresh int64 // nanoseconds charged since the last wait
}

const (
	tenfold = 10          // bursts of debt that end a stream
	nap     = time.Second // longest single wait, since Close cannot cut it short
)

// bytes charges for input that has come.
func (p *pace) bytes(l *Limits, n int, now int64) {
	if l.ByteRate > 0 {
		p.charge(int64(n)*int64(time.Second)/int64(l.ByteRate), now)
	}
}

// element charges for one stanza or nonza.
func (p *pace) element(l *Limits) {
	if l.StanzaRate > 0 {
		p.charge(int64(time.Second)/int64(l.StanzaRate), p.until) // its bytes have told the time already
	}
}

func (p *pace) charge(cost, now int64) {
	p.until = max(p.until, now) + cost
	p.fresh += cost
}

// wait slows the client down.
func (p *pace) wait(l *Limits) error {
	if p.fresh == 0 {
		return nil
	}
	fresh := p.fresh
	p.fresh = 0
	debt := p.until - time.Now().UnixNano()
	over := debt - int64(l.Burst)
	switch {
	case over <= 0:
		return nil
	case debt > tenfold*int64(l.Burst):
		return errFast
	}
	t := time.NewTimer(min(time.Duration(min(over, fresh/10*9)), nap))
	defer t.Stop()
	<-t.C
	return nil
}
