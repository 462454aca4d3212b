package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is queued, committed and in doubt, Get and Range answer like a map.
func TestReadsLikeAMap(t *testing.T) {
	s := open(t, dir(t), Options{NoSync: true})
	tab := s.Table("roster")
	model := map[string]string{}
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		key := rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("k%02d", rapid.IntRange(0, 40).Draw(t, "key")) })
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			rows := map[string]any{}
			for range rapid.IntRange(1, 6).Draw(t, "rows") {
				k := key.Draw(t, "row")
				rows[k] = []byte(fmt.Sprint(round, rapid.Int().Draw(t, "value")))
				if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
					rows[k] = nil
				}
			}
			apply := func() {
				for k, v := range rows {
					if v == nil {
						delete(model, k)
					} else {
						model[k] = string(v.([]byte))
					}
				}
			}
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0, 1, 2:
				tab.Later(rows, nil)
				apply()
			case 3: // urgent ones overtake what is queued
				r := &request{urgent: true}
				r.add(tab, rows)
				tab.f.later(r)
				apply()
			case 4: // one batch only, so that urgent ones go alone
				tab.f.commitMu.Lock()
				if batch := tab.f.gather(); len(batch) > 0 {
					tab.f.commit(batch)
				}
				tab.f.commitMu.Unlock()
			case 5:
				tab.f.drain()
			}
			from, to := "", ""
			if rapid.Bool().Draw(t, "bounded") {
				from, to = key.Draw(t, "from"), key.Draw(t, "to")
			}
			reverse := rapid.Bool().Draw(t, "reverse")
			var got, want []string
			if err := tab.Range(from, to, reverse, func(k string, raw []byte) bool {
				got = append(got, k+"="+string(raw))
				return true
			}); err != nil {
				t.Fatal(err)
			}
			for _, k := range slices.Sorted(maps.Keys(model)) {
				if k >= from && (to == "" || k < to) {
					want = append(want, k+"="+model[k])
				}
			}
			if reverse {
				slices.Reverse(want)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("range %q to %q, reverse %v:\n got %v\nwant %v", from, to, reverse, got, want)
			}
			k := key.Draw(t, "get")
			var v []byte
			ok, err := tab.Get(k, &v)
			if m, there := model[k]; err != nil || ok != there || string(v) != m {
				t.Fatalf("get %s: %v %q %v, want %q", k, ok, v, err, m)
			}
		}
	})
}

// While the committer runs, no reader ever sees a row go back to an older value.
func TestReadersSeeNoOldValue(t *testing.T) {
	s := open(t, dir(t), Options{NoSync: true})
	start(t, s)
	tab := s.Table("roster")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, read := range []func() (string, error){
		func() (v string, err error) {
			var raw []byte
			_, err = tab.Get("row", &raw)
			return string(raw), err
		},
		func() (v string, err error) {
			err = tab.Range("", "", false, func(k string, raw []byte) bool {
				if k == "row" {
					v = string(raw)
				}
				return true
			})
			return v, err
		},
	} {
		wg.Go(func() {
			last := 0
			for ctx.Err() == nil {
				v, err := read()
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(v) // ignored: not written yet is 0
				if n < last {
					t.Errorf("read %d after %d", n, last)
					return
				}
				last = n
			}
		})
	}
	for i := range 3000 {
		if i%50 == 0 {
			if err := tab.WriteUrgent(map[string]any{"row": []byte(fmt.Sprint(i))}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		tab.Later(map[string]any{"row": []byte(fmt.Sprint(i)), fmt.Sprint("other", i%70): []byte("x")}, nil)
	}
	cancel()
	wg.Wait()
}
