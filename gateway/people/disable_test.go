package people

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"doorway/xmpp/sasl"
)

// TestDisabledAccount keeps everything but the right to log in, over a restart too.
func TestDisabledAccount(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, p := open(t, dir)
	var told []string
	p.OnDisable(func(local string) { told = append(told, local) })
	if err := errors.Join(p.Add("alice", "correct horse", ""), p.SetDisabled("Alice", true), p.SetDisabled("alice", true)); err != nil {
		t.Fatal(err)
	}
	if err := p.SetDisabled("nobody", true); !errors.Is(err, ErrUnknown) {
		t.Errorf("disable nobody: %v", err)
	}
	if err := p.SetPassword("alice", "battery staple"); err != nil || !p.Disabled("alice") || p.Disabled("nobody") {
		t.Errorf("after a new password: %v, disabled %v", err, p.Disabled("alice"))
	}
	if err := errors.Join(s.Check(), s.Close()); err != nil {
		t.Fatal(err)
	}
	_, p = open(t, dir)
	if a, _ := p.Account("alice"); !a.Disabled || !p.Disabled("alice") {
		t.Error("enabled by a restart")
	}
	if _, ok := p.Keys(context.Background(), "alice", sasl.SHA256); !ok {
		t.Error("its keys are gone")
	}
	if err := p.SetDisabled("alice", false); err != nil || p.Disabled("alice") {
		t.Errorf("enable: %v", err)
	}
	if !slices.Equal(told, []string{"alice", "alice"}) {
		t.Errorf("told %v", told)
	}
}
