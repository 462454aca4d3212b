// Package supervise runs everything long-lived: it starts tasks in order,
// restarts those that fail with backoff, recovers their panics, stops them in
// reverse order, and speaks to the service manager (sd_notify(3)): READY,
// STATUS, STOPPING and a watchdog that is fed only while the parts that
// matter answer a probe.
//
// Group.Run owns one goroutine for each task and waits for all of them.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"doorway/gateway/health"
)

// Task is one long-lived part.
type Task struct {
	Name string
	// Run blocks until ctx ends (nil) or the part fails.
	Run func(ctx context.Context) error
	// Once means that an error ends the whole group instead of a restart:
	// without the part the program is of no use.
	Once bool
	// Stop is how long Run may take after its context ended; 0 means 10 s.
	Stop time.Duration
}

// Group is an ordered set of tasks.
type Group struct {
	log    *slog.Logger
	health *health.Health
	tasks  []Task
	// backoff limits; tests shorten them.
	first, longest time.Duration
}

// New makes an empty group.
func New(log *slog.Logger, h *health.Health) *Group {
	return &Group{log: log, health: h, first: time.Second, longest: time.Minute}
}

// Add appends a task; those added first stop last. Not after Run.
func (g *Group) Add(t Task) {
	if t.Stop == 0 {
		t.Stop = 10 * time.Second
	}
	g.tasks = append(g.tasks, t)
}

// ErrStuck says that a task did not end in its time after the stop.
var ErrStuck = errors.New("did not stop in time")

// Run starts all tasks and blocks until ctx ends or a Once task fails; then it
// stops them in reverse order, each before the one that was added before it.
func (g *Group) Run(ctx context.Context) error {
	type running struct {
		cancel context.CancelFunc
		done   chan struct{}
	}
	failed := make(chan error, len(g.tasks)) // each Once task sends at most once
	started := make([]running, 0, len(g.tasks))
	base := context.WithoutCancel(ctx)
	for _, t := range g.tasks {
		tctx, cancel := context.WithCancel(base)
		r := running{cancel, make(chan struct{})}
		started = append(started, r)
		go func() { // owner: this Run, which waits for r.done below
			defer close(r.done)
			g.keep(tctx, t, failed)
		}()
	}
	var errs []error
	select {
	case <-ctx.Done():
	case err := <-failed:
		errs = append(errs, err)
	}
	for i := len(started) - 1; i >= 0; i-- {
		started[i].cancel()
		limit := time.NewTimer(g.tasks[i].Stop)
		select {
		case <-started[i].done:
		case <-limit.C:
			errs = append(errs, fmt.Errorf("%s: %w", g.tasks[i].Name, ErrStuck))
		}
		limit.Stop()
	}
	return errors.Join(errs...)
}

// keep runs one task until ctx ends, again after a failure.
func (g *Group) keep(ctx context.Context, t Task, failed chan<- error) {
	name := "task " + t.Name
	pause := g.first
	for {
		begun := time.Now()
		err := g.guarded(ctx, t)
		if ctx.Err() != nil {
			if err != nil && !errors.Is(err, context.Canceled) {
				g.log.Warn("task ended with an error", "comp", t.Name, "err", err)
			}
			return
		}
		if err == nil {
			return // it had nothing left to do
		}
		if t.Once {
			failed <- fmt.Errorf("%s: %w", t.Name, err)
			return
		}
		if time.Since(begun) > g.longest {
			pause = g.first
		}
		g.log.Error("task failed, starting it again", "comp", t.Name, "err", err, "after", pause)
		g.health.Set(name, health.Warning, fmt.Sprintf("%s stopped (%v) and is being started again. If this stays, read the log.", t.Name, err))
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(2*pause, g.longest)
		g.health.Clear(name)
	}
}

func (g *Group) guarded(ctx context.Context, t Task) (err error) {
	defer func() {
		if p := recover(); p != nil {
			g.health.CountPanic()
			g.log.Error("panic in a task", "comp", t.Name, "err", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return t.Run(ctx)
}
