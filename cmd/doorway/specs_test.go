package main

import (
	"os"
	"strings"
	"testing"

	"doorway/gateway/config"
)

// TestSpecsAreShown: what a module says it implements is shown by a play, which
// names it in its header, or by a scenario of slixmpp that names it.
func TestSpecsAreShown(t *testing.T) {
	var shown strings.Builder
	for _, p := range plays(t) {
		shown.WriteString(p.Title + "\n" + p.Section + "\n")
	}
	slix, err := os.ReadFile("testdata/slix.py")
	if err != nil {
		t.Fatal(err)
	}
	shown.Write(slix)
	c, err := config.Load("../../configs/doorway.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range newModules(c, groups{}, house{}).list {
		for _, s := range m.Info().Specs {
			if !strings.Contains(shown.String(), s.Doc) {
				t.Errorf("%s: no play and no scenario of slix.py names %s (%s)", m.Info().Name, s.Doc, s.Title)
			}
		}
		if len(m.Info().Specs) == 0 {
			t.Errorf("%s says nothing of what it implements", m.Info().Name)
		}
	}
}
