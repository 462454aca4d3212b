package pages

import (
	"context"
	"time"

	"doorway/xmpp"
	"doorway/xmpp/stanza"
)

// A question to the network takes seconds, and minutes when the network is slow. A step of a command may not last that long:
// the client's other stanzas wait for it. So Run asks, and a page waits for a while and can be sent again.
const (
	patience  = 10 * time.Second
	talkLimit = 4 * time.Minute // the modem gives up before
	maxTalks  = 8               // that wait for their turn
)

// talk is a question to the network.
type talk struct {
	ask func(ctx context.Context) (*xmpp.CommandPage, error)
	// Set before done is closed.
	page *xmpp.CommandPage
	err  error
	done chan struct{}
}

// Run asks the network what the commands want to know, one question at a time, until ctx ends.
func (c *Pages) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case t := <-c.talks:
			t.run(ctx)
		}
	}
}

func (t *talk) run(ctx context.Context) {
	defer close(t.done)
	t.err = stanza.NewError(stanza.InternalServerError, "Something went wrong in the gateway. Start the command again.") // should ask panic
	ctx, cancel := context.WithTimeout(ctx, talkLimit)
	defer cancel()
	t.page, t.err = t.ask(ctx)
}

// begin asks a question and waits for its answer.
func (c *Pages) begin(ctx context.Context, ask func(context.Context) (*xmpp.CommandPage, error)) (*xmpp.CommandPage, error) {
	t := &talk{ask: ask, done: make(chan struct{})}
	if err := c.enqueue(t); err != nil {
		return nil, err
	}
	return c.wait(ctx, t)
}

func (c *Pages) enqueue(t *talk) error {
	select {
	case c.talks <- t:
		return nil
	default:
		return xmpp.TryAgain("Others are asking the network at this moment. Try again in a minute.")
	}
}

// wait is the answer, or a page that waits on.
func (c *Pages) wait(ctx context.Context, t *talk) (*xmpp.CommandPage, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-t.done:
		return t.page, t.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
	}
	return ask("Ask the network", "The network has not answered yet. Go on to wait for it.", false, func(ctx context.Context, _ *xmpp.CommandCall) (*xmpp.CommandPage, error) {
		return c.wait(ctx, t)
	}), nil
}
