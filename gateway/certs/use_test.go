package certs

import (
	"path/filepath"
	"testing"
)

// Other files are taken over at once; files that cannot be used change nothing.
func TestUse(t *testing.T) {
	dir := t.TempDir()
	first, second := open(t, filepath.Join(dir, "one"), box()), open(t, filepath.Join(dir, "two"), box())
	pair := func(from string) (string, string) {
		return filepath.Join(dir, from, "ca", "leaf.pem"), filepath.Join(dir, from, "ca", "leaf.key")
	}
	o := box()
	o.Certificate, o.Key = pair("one")
	c := open(t, filepath.Join(dir, "data"), o)
	if err := c.Use(pair("two")); err != nil || !leaf(t, c).Equal(leaf(t, second)) {
		t.Errorf("the other certificate is not used: %v", err)
	}
	cert, _ := pair("one")
	_, foreign := pair("two")
	if err := c.Use(cert, foreign); err == nil || c.Problem() != nil || !leaf(t, c).Equal(leaf(t, second)) {
		t.Errorf("a key of another certificate: %v, problem %v", err, c.Problem())
	}
	if err := c.Reload(); err != nil || !leaf(t, c).Equal(leaf(t, second)) {
		t.Errorf("reload after a refused change: %v", err)
	}
	if err := c.Use("", ""); err == nil {
		t.Error("files were given up while running")
	}
	if err := first.Use(pair("two")); err == nil {
		t.Error("the own CA was given up while running")
	}
}
