package main

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"doorway/gateway/store"
	"doorway/modem"
)

// A PIN is sent again only when it worked, or when the SIM shows that it was never looked at; over restarts.
func TestPINGuard(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	const refused, worked, silent = "refused", "worked", "silent"
	for _, c := range []struct {
		name  string
		steps []string // pin, attempts left, what became of it; "!" before: it is not to be sent
		left  []int
		ends  []string
		want  []error
	}{
		{"wrong", []string{"a", "a"}, []int{3, 3}, []string{refused, ""}, []error{nil, errPINTried}},
		{"right", []string{"a", "a", "a"}, []int{3, -1, 3}, []string{worked, worked, ""}, []error{nil, nil, nil}},
		{"power cut", []string{"a", "a", "a"}, []int{3, 3, 3}, []string{silent, silent, ""}, []error{nil, nil, errPINTried}},
		{"cut and wrong", []string{"a", "a"}, []int{3, 2}, []string{silent, ""}, []error{nil, errPINTried}},
		{"does not tell", []string{"a", "a"}, []int{-1, -1}, []string{silent, ""}, []error{nil, errPINTried}},
		{"told once", []string{"a", "a"}, []int{-1, 3}, []string{silent, ""}, []error{nil, errPINTried}},
		{"three PINs", []string{"a", "b", "c", "d"}, []int{-1, -1, -1, 3}, []string{refused, silent, "", ""}, []error{nil, nil, modem.ErrPINLast, nil}},
		{"worked between", []string{"a", "b", "c", "d"}, []int{-1, -1, -1, -1}, []string{refused, worked, refused, ""}, []error{nil, nil, nil, nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, pin := range c.steps {
				s, err := store.Open(dir, store.Options{NoSync: true})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- s.Run(ctx) }() // waited for below
				g := pinGuard{s.Table("pin_attempts")}
				if err := g.Attempt(c.name, pin, c.left[i]); !errors.Is(err, c.want[i]) {
					t.Errorf("step %d: %v, want %v", i, err, c.want[i])
				}
				switch c.ends[i] {
				case refused:
					err = g.Refused(c.name, pin)
				case worked:
					err = g.Success(c.name, pin)
				}
				cancel()
				if err := errors.Join(err, <-ended, s.Close()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
