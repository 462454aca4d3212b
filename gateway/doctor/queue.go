package doctor

import (
	"context"
	"fmt"
	"time"

	"doorway/transports"
)

// How long a text may wait.
const (
	queueWarn = 15 * time.Minute
	queueFail = 2 * time.Hour
)

// queue looks at the texts that wait. Texts that failed are told to who sent
// them and are no fault of the box, so they are only counted.
func queue(_ context.Context, b *Box) []Line {
	const name = "queue"
	if b.Facts == nil {
		return nil
	}
	n := b.Facts.Queue
	waiting := n[transports.Queued] + n[transports.RetryWait] + n[transports.Leased] + n[transports.OnAir]
	text := fmt.Sprintf("%d texts wait", waiting)
	var age time.Duration
	if !b.Facts.Oldest.IsZero() {
		age = b.Now().Sub(b.Facts.Oldest)
		text += fmt.Sprintf(", the oldest for %s", span(age))
	}
	text += fmt.Sprintf("; %d failed, %d possibly sent, %d expired.", n[transports.Failed], n[transports.PossiblySent], n[transports.Expired])
	const cure = "The modem's line says why; `doorway queue list` shows them, and `doorway queue cancel ID` takes one back."
	switch {
	case age >= queueFail:
		return []Line{fail(name, text, cure)}
	case age >= queueWarn:
		return []Line{warn(name, text, cure)}
	}
	return []Line{ok(name, text)}
}
