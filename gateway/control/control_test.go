package control

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type greeting struct {
	Name string `json:"name"`
}

func serve(t *testing.T, dir string) {
	t.Helper()
	s := New(slog.New(slog.NewTextHandler(io.Discard, nil)))
	Handle(s, "greet", func(_ context.Context, g greeting) (string, error) {
		switch g.Name {
		case "":
			return "", Refuse("Nobody is named.")
		case "panic":
			panic("boom")
		}
		return "hello " + g.Name, nil
	})
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestCall(t *testing.T) {
	dir := t.TempDir()
	err := Call(t.Context(), dir, "greet", greeting{"bob"}, nil)
	if !errors.Is(err, ErrNotRunning) {
		t.Fatalf("without a server: %v", err)
	}
	serve(t, dir)
	var out string
	if err := Call(t.Context(), dir, "greet", greeting{"bob"}, &out); err != nil || out != "hello bob" {
		t.Errorf("got %q, %v", out, err)
	}
	var refused *Error
	if err := Call(t.Context(), dir, "greet", greeting{}, nil); !errors.As(err, &refused) || refused.Text != "Nobody is named." {
		t.Errorf("refusal came as %v", err)
	}
	if err := Call(t.Context(), dir, "greet", greeting{"panic"}, nil); err == nil || !strings.Contains(err.Error(), "fault") {
		t.Errorf("panic came as %v", err)
	}
	if err := Call(t.Context(), dir, "nothing", nil, nil); err == nil || !strings.Contains(err.Error(), "knows no command") {
		t.Errorf("unknown command came as %v", err)
	}
	st, err := os.Stat(filepath.Join(dir, SocketName))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket %v %v, want mode 0600", st.Mode(), err)
	}
}

func TestLongPathAndStaleSocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, SocketName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, dir)
	var out string
	if err := Call(t.Context(), dir, "greet", greeting{"bob"}, &out); err != nil || out != "hello bob" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestGarbageIsAnswered(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir)
	c, err := net.Dial("unix", filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("\x00\xff{\n")); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(b), "not one line of JSON") {
		t.Errorf("got %q, %v", b, err)
	}
}

// A command that cannot be one stops the program when it starts, and not when somebody uses it.
func TestHandleTakesCommandsOnly(t *testing.T) {
	s := New(slog.New(slog.DiscardHandler))
	Handle(s, "ok", func(context.Context, struct{}) (any, error) { return nil, nil })
	for _, f := range []any{
		1, func() {}, func(context.Context, string) error { return nil }, func(string, string) (int, error) { return 0, nil },
		func(context.Context, string) (int, int) { return 0, 0 }, func(context.Context) (int, error) { return 0, nil },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%T is taken", f)
				}
			}()
			Handle(s, "bad", f)
		}()
	}
	if c := s.Commands(); len(c) != 1 {
		t.Error(c)
	}
}
