package supervise

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"doorway/gateway/health"
)

// Notifier speaks to the service manager; without one (NOTIFY_SOCKET unset)
// every method does nothing.
type Notifier struct {
	Log *slog.Logger
}

func (n Notifier) send(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil && n.Log != nil {
		n.Log.Warn("the service manager cannot be told", "comp", "supervise", "err", err)
	}
}

// Ready says that listeners are open.
func (n Notifier) Ready() { n.send(daemon.SdNotifyReady) }

// Reloading says that the configuration is being read again; Ready ends it
// (sd_notify(3): RELOADING with the monotonic time).
func (n Notifier) Reloading() {
	n.send(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping says that an ordered stop has begun.
func (n Notifier) Stopping() { n.send(daemon.SdNotifyStopping) }

// Status shows one line in `systemctl status`.
func (n Notifier) Status(text string) { n.send("STATUS=" + text) }

// Probe asks one part whether it still works; it returns before ctx ends.
type Probe struct {
	Name string
	Ask  func(ctx context.Context) error
}

// Watchdog feeds the service manager's watchdog while every probe answers,
// and keeps STATUS fresh. Without WatchdogSec it still probes, so that a
// stuck part becomes a health finding.
type Watchdog struct {
	Probes []Probe
	Status func() string // one line for STATUS
	Notify Notifier
	Health *health.Health
	Log    *slog.Logger
	// Every is the pause between rounds without a service manager; 0: 15 s.
	Every time.Duration
}

// Run probes until ctx ends.
func (w *Watchdog) Run(ctx context.Context) error {
	every := w.Every
	if every == 0 {
		every = 15 * time.Second
	}
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		w.Log.Warn("WATCHDOG_USEC cannot be read", "comp", "supervise", "err", err)
	}
	if limit > 0 {
		every = limit / 3
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	// What is probed starts at this moment, too.
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(min(every, settleIn)):
	}
	last := ""
	for {
		if w.round(ctx, every) && limit > 0 {
			w.Notify.send(daemon.SdNotifyWatchdog)
		}
		if w.Status != nil {
			if s := w.Status(); s != last {
				w.Notify.Status(s)
				last = s
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// settleIn is how long after the start the first probes are asked.
const settleIn = time.Second

// round asks every probe and reports whether all of them answered well.
func (w *Watchdog) round(ctx context.Context, limit time.Duration) bool {
	ok := true
	for _, p := range w.Probes {
		pctx, cancel := context.WithTimeout(ctx, limit)
		err := p.Ask(pctx)
		cancel()
		name := "watchdog " + p.Name
		if err == nil {
			w.Health.Clear(name)
			continue
		}
		if ctx.Err() != nil {
			return false
		}
		ok = false
		if w.Health.Set(name, health.Failure, p.Name+" does not answer. The service manager will restart doorway if this stays; the log says more.") {
			w.Log.Error("probe failed", "comp", p.Name, "err", err)
		}
	}
	return ok
}
