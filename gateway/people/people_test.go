package people

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"hash"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"doorway/gateway/store"
	"doorway/transports/number"
	"doorway/xmpp/sasl"
)

func open(t testing.TB, dir string) (*store.Store, *People) {
	t.Helper()
	s, err := store.Open(dir, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	p, err := Open(s, testHouse)
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

var testHouse = House{Domain: "office.example", SMSDomain: "sms.office.example", Numbers: number.National("49")}

func closeStore(t testing.TB, s *store.Store) {
	t.Helper()
	if err := s.Check(); err != nil && !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestAccountsSurviveARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, p := open(t, dir)
	if err := errors.Join(p.Add("bob", "bob's long password", ""), p.Add("Alice", "correct horse", " Alice A. "), p.Add("carol", "third password", "C")); err != nil {
		t.Fatal(err)
	}
	if err := p.Add("ALICE", "another password", ""); !errors.Is(err, ErrExists) {
		t.Errorf("added twice: %v", err)
	}
	var gone []string
	p.OnRemove(func(local string) { gone = append(gone, local) })
	if err := p.Remove("Carol"); err != nil || !slices.Equal(gone, []string{"carol"}) {
		t.Errorf("remove: %v, told %v", err, gone)
	}
	if err := errors.Join(s.Check(), s.Close()); err != nil {
		t.Fatal(err)
	}
	seed := p.FakeSeed()
	_, p = open(t, dir)
	if string(p.FakeSeed()) != string(seed) || len(seed) != 32 {
		t.Error("the seed of fake salts changed at the restart")
	}
	var names []string
	for _, a := range p.List() {
		names = append(names, a.Local+":"+a.Name)
		if a.Created.IsZero() {
			t.Errorf("%s has no time of creation", a.Local)
		}
	}
	if !slices.Equal(names, []string{"alice:Alice A.", "bob:"}) {
		t.Errorf("accounts %v", names)
	}
	if p.Exists("carol") || !p.Exists("alice") {
		t.Error("wrong accounts exist")
	}
	if _, ok := p.Keys(context.Background(), "carol", sasl.SHA256); ok {
		t.Error("a removed account has keys")
	}
}

// The keys are those of RFC 5802 §3 for the password, computed independently.
func TestKeysBelongToThePassword(t *testing.T) {
	_, p := open(t, filepath.Join(t.TempDir(), "data"))
	if err := p.Add("alice", "correct horse", ""); err != nil {
		t.Fatal(err)
	}
	check := func(password string) {
		t.Helper()
		salts := map[string]bool{}
		for h, newHash := range map[sasl.Hash]func() hash.Hash{sasl.SHA256: sha256.New, sasl.SHA1: sha1.New} {
			k, ok := p.Keys(context.Background(), "alice", h)
			if !ok || k.Iterations < 4096 || len(k.Salt) != 16 {
				t.Fatalf("%s: %v %d iterations, %d bytes of salt", h, ok, k.Iterations, len(k.Salt))
			}
			salts[string(k.Salt)] = true
			salted, err := pbkdf2.Key(newHash, password, k.Salt, k.Iterations, newHash().Size())
			if err != nil {
				t.Fatal(err)
			}
			mac := hmac.New(newHash, salted)
			mac.Write([]byte("Server Key"))
			if !hmac.Equal(mac.Sum(nil), k.ServerKey) {
				t.Errorf("%s: the server key is not that of %q", h, password)
			}
		}
		if len(salts) != 2 {
			t.Error("both hashes share a salt")
		}
	}
	check("correct horse")
	if err := p.SetPassword("alice", "battery staple"); err != nil {
		t.Fatal(err)
	}
	check("battery staple")
	if err := p.SetPassword("nobody", "battery staple"); !errors.Is(err, ErrUnknown) {
		t.Errorf("password of nobody: %v", err)
	}
	if err := p.Remove("nobody"); !errors.Is(err, ErrUnknown) {
		t.Errorf("remove nobody: %v", err)
	}
}

// What a person typed wrong is said in a sentence that helps.
func TestSentences(t *testing.T) {
	_, p := open(t, filepath.Join(t.TempDir(), "data"))
	for _, c := range []struct{ local, password, name, want string }{
		{"", "long enough", "", "empty"},
		{"alice@office.example", "long enough", "", `"alice"`},
		{"al ice", "long enough", "", "spaces"},
		{"a/b", "long enough", "", "are allowed"},
		{"@", "long enough", "", "are allowed"},
		{"\xff", "long enough", "", "UTF-8"},
		{strings.Repeat("a", 1100), "long enough", "", "shorter"},
		{"alice", "short", "", "5 characters"},
		{"alice", "", "", "at least 8"},
		{"alice", "with\x00control", "", "control character"},
		{"alice", "\xff\xff\xff\xff\xff\xff\xff\xff", "", "UTF-8"},
		{"alice", "long enough", "two\nlines", "control characters"},
	} {
		err := p.Add(c.local, c.password, c.name)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Text, c.want) || !strings.HasSuffix(e.Text, ".") {
			t.Errorf("%q %q: %v, want a sentence with %q", c.local, c.password, err, c.want)
		}
		if !errors.Is(err, ErrName) && !errors.Is(err, ErrPassword) {
			t.Errorf("%q: no kind in %v", c.local, err)
		}
		if len(c.password) > 6 && strings.Contains(err.Error(), c.password) {
			t.Errorf("the password is in the sentence %q", err)
		}
	}
	if n := len(p.List()); n != 0 {
		t.Errorf("%d accounts were made", n)
	}
	for _, good := range []string{"anna-maria", "j.doe", "+4915550101", "jörg", `d\27artagnan`} {
		if err := p.Add(good, "long enough", ""); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

func TestConcurrentChanges(t *testing.T) {
	_, p := open(t, filepath.Join(t.TempDir(), "data"))
	var wg sync.WaitGroup
	var mu sync.Mutex
	added := 0
	for range 4 {
		wg.Go(func() {
			if err := p.Add("alice", "long enough", ""); err == nil {
				mu.Lock()
				added++
				mu.Unlock()
			} else if !errors.Is(err, ErrExists) {
				t.Error(err)
			}
			p.Keys(context.Background(), "alice", sasl.SHA256)
			p.List()
		})
	}
	wg.Wait()
	if added != 1 {
		t.Errorf("added %d times", added)
	}
}
