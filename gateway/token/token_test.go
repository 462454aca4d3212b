package token

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorway/gateway/store"
)

func openStore(t *testing.T, dir string) (*store.Store, func()) {
	t.Helper()
	s, err := store.Open(dir, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }() // waited for by the returned function
	return s, func() {
		cancel()
		if err := errors.Join(<-done, s.Check(), s.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestTokens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, stop := openStore(t, dir)
	b, err := Open(s.Table("tokens"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	tok, secret, err := b.Add(Token{Name: " Grafana "})
	if err != nil || tok.Name != "Grafana" || !strings.HasPrefix(secret, Prefix) || len(secret) != len(Prefix)+43 {
		t.Fatalf("%+v %q %v", tok, secret, err)
	}
	if !tok.Allows(SMSSend) || tok.Allows(Admin) {
		t.Error("wrong scopes")
	}
	for _, bad := range []Token{{}, {Name: "grafana"}, {Name: "x", Scopes: []string{"all"}}, {Name: "y", Expires: time.Now().Add(-time.Second)}} {
		var e *Error
		if _, _, err := b.Add(bad); !errors.As(err, &e) || !errors.Is(err, ErrRefused) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	admin, adminSecret, err := b.Add(Token{Name: "root", Scopes: []string{Admin}})
	if err != nil || !admin.Allows(SMSRead) {
		t.Fatal(err)
	}
	stop()

	s, stop = openStore(t, dir)
	defer stop()
	if err := s.Table("tokens").Range("", "", false, func(_ string, raw []byte) bool {
		if strings.Contains(string(raw), secret[len(Prefix):]) {
			t.Error("the secret is on disk")
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if b, err = Open(s.Table("tokens"), time.Now); err != nil {
		t.Fatal(err)
	}
	if got, ok := b.Check(secret); !ok || got.ID != tok.ID {
		t.Errorf("after a restart: %+v %v", got, ok)
	}
	if _, ok := b.Check(secret + "x"); ok {
		t.Error("a wrong secret is taken")
	}
	if l := b.List(); len(l) != 2 || l[0].Name != "Grafana" || l[0].Used.IsZero() || !l[1].Used.IsZero() {
		t.Errorf("%+v", l)
	}
	if _, err := b.Revoke("GRAFANA"); err != nil {
		t.Error(err)
	}
	if _, ok := b.Check(secret); ok {
		t.Error("a revoked token is taken")
	}
	if _, err := b.Revoke(tok.ID); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if _, err := b.Revoke(admin.ID); err != nil {
		t.Error(err)
	}
	if _, ok := b.Check(adminSecret); ok {
		t.Error("a revoked token is taken")
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := openStore(t, filepath.Join(t.TempDir(), "data"))
		defer stop()
		b, err := Open(s.Table("tokens"), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		_, secret, err := b.Add(Token{Name: "a", Expires: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := b.Check(secret); !ok {
			t.Error("refused too early")
		}
		<-time.After(time.Hour)
		if _, ok := b.Check(secret); ok {
			t.Error("taken too late")
		}
	})
}
