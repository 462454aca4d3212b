package main

import (
	"io"
	"net/http"
	"testing"
)

// httpGet fetches a page and checks its status.
func httpGet(t testing.TB, url string, status int) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != status {
		t.Errorf("%s: status %d, want %d\n%s", url, r.StatusCode, status, b)
	}
	return string(b)
}
