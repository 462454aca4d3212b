package c2s

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"doorway/xmpp/xmpptest"
)

// TestPlays runs the plays about limits that are too long for the whole program.
func TestPlays(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "plays", "*.play"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no plays: %v", err)
	}
	h := open(t, nil, loopback, limits(func(l *Limits) {
		l.Negotiation, l.Idle, l.Answer, l.Closing = 3*time.Second, 200*time.Millisecond, time.Second, 200*time.Millisecond
	}))
	stage := &xmpptest.Stage{
		Addr: h.plain, Domain: home, Password: password,
		Account: func(context.Context, string, string) error { return nil }, // the house knows everybody it needs
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all, err := xmpptest.ParsePlays(filepath.Base(file), string(text))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range all {
				if err := p.Run(t.Context(), stage, ""); err != nil {
					t.Errorf("%s (%s)\n%v", p.Title, p.Section, err)
				}
			}
		})
	}
}
