package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"doorway/gateway/control"
	"doorway/transports"
)

func runQueueList(ctx context.Context, a *app, args []string) error {
	var t target
	var req control.QueueList
	fs := newFlags("queue list")
	pageFlags(fs, &req, "jobs", "retry-wait")
	if _, err := t.parse(fs, args, 0, 0); err != nil {
		return err
	}
	var q control.QueueAnswer
	if err := t.call(ctx, "queue.list", req, &q); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(q)
	}
	var parts []string
	for _, s := range []transports.State{transports.Queued, transports.RetryWait, transports.OnAir, transports.Accepted, transports.PossiblySent, transports.Failed} {
		if n := q.Counts[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	if parts == nil {
		parts = []string{"nothing is waiting"}
	}
	fmt.Fprintf(a.out, "%s\n", strings.Join(parts, ", "))
	for _, j := range q.Jobs {
		fmt.Fprintln(a.out, strings.TrimRight(fmt.Sprintf("%6d  %s  %-16s %-16s attempts %d  %s", j.ID, j.Created.Local().Format("2006-01-02 15:04:05"), j.Dest, j.State, j.Attempts, j.Error), " "))
	}
	return nil
}

func runQueueShow(ctx context.Context, a *app, args []string) error {
	var t target
	rest, err := t.parse(newFlags("queue show"), args, 1, 1)
	if err != nil {
		return err
	}
	id, err := parseID(rest[0])
	if err != nil {
		return err
	}
	var j transports.Job
	if err := t.call(ctx, "queue.show", control.JobID{ID: id}, &j); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(j)
	}
	fmt.Fprintf(a.out, "Job %d for %s: %s, attempts %d, priority %d\n", j.ID, j.Dest, j.State, j.Attempts, j.Priority)
	if j.Error != "" {
		fmt.Fprintf(a.out, "  %s\n", j.Error)
	}
	for _, x := range []struct {
		label string
		t     time.Time
	}{{"created", j.Created}, {"not before", j.NotBefore}, {"deadline", j.Deadline}} {
		if !x.t.IsZero() {
			fmt.Fprintf(a.out, "  %-10s %s\n", x.label, x.t.Local().Format("2006-01-02 15:04:05"))
		}
	}
	if j.Lane != "" {
		fmt.Fprintf(a.out, "  %-10s %s\n", "modem", strings.TrimPrefix(j.Lane, "="))
	}
	printSteps(a.out, j.History)
	return nil
}

func runQueueCancel(ctx context.Context, a *app, args []string) error {
	return a.changeJob(ctx, "queue cancel", "queue.cancel", "is cancelled", args)
}

func runQueueRequeue(ctx context.Context, a *app, args []string) error {
	return a.changeJob(ctx, "queue requeue", "queue.requeue", "is queued again", args)
}

func runQueueDelete(ctx context.Context, a *app, args []string) error {
	return a.changeJob(ctx, "queue delete", "queue.delete", "is forgotten", args)
}

func (a *app) changeJob(ctx context.Context, name, command, done string, args []string) error {
	var t target
	rest, err := t.parse(newFlags(name), args, 1, 1)
	if err != nil {
		return err
	}
	id, err := parseID(rest[0])
	if err != nil {
		return err
	}
	var j transports.Job
	if err := t.call(ctx, command, control.JobID{ID: id}, &j); err != nil {
		return err
	}
	if t.json {
		return a.printJSON(j)
	}
	fmt.Fprintf(a.out, "Job %d %s.\n", id, done)
	return nil
}

func parseID(s string) (uint64, error) {
	id, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, usagef("%q is not an id; `doorway sms list` shows the ids", s)
	}
	return id, nil
}
