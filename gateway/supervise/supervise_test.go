package supervise

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorway/gateway/health"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestStopsInReverseOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(quiet(), health.New(time.Now))
		var mu sync.Mutex
		var order []string
		for _, name := range []string{"store", "modem", "listener"} {
			g.Add(Task{Name: name, Run: func(ctx context.Context) error {
				<-ctx.Done()
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
				return nil
			}})
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := g.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if want := []string{"listener", "modem", "store"}; !slices.Equal(order, want) {
			t.Errorf("stopped in order %v, want %v", order, want)
		}
	})
}

func TestRestartsWithBackoffAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health.New(time.Now)
		g := New(quiet(), h)
		begun := time.Now()
		var at []time.Duration
		g.Add(Task{Name: "flaky", Run: func(ctx context.Context) error {
			at = append(at, time.Since(begun))
			switch len(at) {
			case 1:
				return errors.New("no port")
			case 2:
				panic("boom")
			}
			<-ctx.Done()
			return nil
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := g.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if want := []time.Duration{0, time.Second, 3 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("started at %v, want %v", at, want)
		}
		if h.Panics() != 1 || len(h.List()) != 0 {
			t.Errorf("panics %d, findings %v", h.Panics(), h.List())
		}
	})
}

func TestOnceEndsTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(quiet(), health.New(time.Now))
		stopped := false
		g.Add(Task{Name: "a", Run: func(ctx context.Context) error { <-ctx.Done(); stopped = true; return nil }})
		g.Add(Task{Name: "store", Once: true, Run: func(context.Context) error { return errors.New("disk gone") }})
		err := g.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "store: disk gone") || !stopped {
			t.Errorf("err %v, stopped %v", err, stopped)
		}
	})
}

func TestStuckTaskIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(quiet(), health.New(time.Now))
		release := make(chan struct{})
		g.Add(Task{Name: "deaf", Stop: time.Second, Run: func(context.Context) error { <-release; return nil }})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.Run(ctx); !errors.Is(err, ErrStuck) || !strings.Contains(err.Error(), "deaf") {
			t.Errorf("err %v", err)
		}
		close(release)
		synctest.Wait()
	})
}

// TestWatchdogIsHonest listens as the service manager would: a part that
// stops answering must starve the watchdog.
func TestWatchdogIsHonest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "150000")
	t.Setenv("WATCHDOG_PID", "")
	var mu sync.Mutex
	var sick error
	h := health.New(time.Now)
	w := &Watchdog{
		Probes: []Probe{{"store", func(context.Context) error { mu.Lock(); defer mu.Unlock(); return sick }}},
		Status: func() string { return "modem ok" },
		Notify: Notifier{quiet()}, Health: h, Log: quiet(),
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	read := func(limit time.Duration) string {
		buf := make([]byte, 256)
		if err := conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil {
			return ""
		}
		return string(buf[:n])
	}
	got := map[string]bool{}
	for range 3 {
		got[read(30*time.Second)] = true
	}
	if !got["WATCHDOG=1"] || !got["STATUS=modem ok"] {
		t.Errorf("messages %v", got)
	}
	mu.Lock()
	sick = errors.New("stuck")
	mu.Unlock()
	for noticed := time.Now().Add(30 * time.Second); h.Worst() != health.Failure && time.Now().Before(noticed); {
		read(10 * time.Millisecond)
	}
	for read(time.Millisecond) != "" { // what was sent before
	}
	if m := read(400 * time.Millisecond); m != "" {
		t.Errorf("fed although the store is stuck: %q", m)
	}
	if h.Worst() != health.Failure {
		t.Errorf("findings %v", h.List())
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestPartThatStartsAtThisMomentIsNotSick: the watchdog starts together with
// what it asks, and said of a modem that it was not running.
func TestPartThatStartsAtThisMomentIsNotSick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		h := health.New(time.Now)
		asked := 0
		w := &Watchdog{Notify: Notifier{quiet()}, Health: h, Log: quiet(), Probes: []Probe{{"modem", func(context.Context) error {
			if asked++; time.Since(started) < 100*time.Millisecond {
				return errors.New("not running")
			}
			return nil
		}}}}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		ever := make(chan []health.Finding, 1)
		time.AfterFunc(50*time.Millisecond, func() { ever <- h.List() })
		if err := w.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if list := append(<-ever, h.List()...); len(list) > 0 || asked == 0 {
			t.Errorf("asked %d times, findings %+v", asked, list)
		}
	})
}
