package backup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doorway/gateway/killtest"
	"doorway/gateway/store"
)

func rounds() int {
	if testing.Short() {
		return 4
	}
	return 15
}

// kill -9 during backups: the backup file is always a whole one, old or new,
// and the store has all that was acknowledged.
func TestKillBackup(t *testing.T) {
	if dir := killtest.Dir(); dir != "" {
		s, err := store.Open(filepath.Join(dir, "data"), store.Options{})
		killtest.Die(err)
		go func() { _ = s.Run(context.Background()) }() // never ends
		go func() {
			for i := 0; ; i++ {
				v := fmt.Sprintf("%019d", time.Now().UnixNano())
				killtest.Die(s.Table("roster").Write(map[string]any{fmt.Sprint(i % 100): v, "pad": make([]byte, 100<<10)}))
				fmt.Println("row", i%100, v)
			}
		}()
		for {
			copied := filepath.Join(dir, "data", "nightly"+store.CopySuffix)
			if err := os.Remove(copied); err != nil && !os.IsNotExist(err) {
				killtest.Die(err)
			}
			c, err := s.Copy(context.Background(), copied)
			killtest.Die(err)
			_, err = Save(context.Background(), filepath.Join(dir, "b.tar"), c, Info{})
			killtest.Die(err)
			fmt.Println("saved")
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "b.tar")
	acked := map[string]string{}
	backups, kills := 0, 0
	killtest.Rounds(rounds(), func(int) {
		kills++
		killtest.Run(t, dir, 20, 200*time.Millisecond, func(line string) {
			f := strings.Fields(line)
			switch {
			case len(f) == 3:
				acked[f[1]] = f[2]
			case len(f) == 1:
				backups++
			}
		})
		if _, err := os.Stat(file); err == nil {
			fresh := filepath.Join(t.TempDir(), "data")
			if _, err := Restore(t.Context(), fresh, file); err != nil {
				t.Errorf("the backup: %v", err)
			}
		} else if backups > 0 {
			t.Error("there is no backup any more")
		}
		s, err := store.Open(filepath.Join(dir, "data"), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for key, want := range acked {
			var got string
			if ok, err := s.Table("roster").Get(key, &got); !ok || err != nil || got < want {
				t.Errorf("row %s is %q, acknowledged %q, %v", key, got, want, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if names, err := filepath.Glob(filepath.Join(dir, "data", "*"+store.CopySuffix)); err != nil || len(names) > 0 {
			t.Errorf("left after the next start: %v, %v", names, err)
		}
	}, func() bool { return backups > 0 && len(acked) >= 10 })
	if backups == 0 || len(acked) < 10 {
		t.Errorf("%d backups and %d rows: the test shows nothing", backups, len(acked))
	}
	t.Logf("%d backups over %d kills", backups, kills)
}

// kill -9 during restores: the old or the new state is in place, whole.
func TestKillRestore(t *testing.T) {
	if dir := killtest.Dir(); dir != "" {
		for {
			for _, word := range []string{"one", "two"} {
				r, err := Restore(context.Background(), filepath.Join(dir, "data"), filepath.Join(dir, word+".tar"))
				killtest.Die(err)
				fmt.Println(word)
				if r.Kept != "" {
					killtest.Die(os.Remove(r.Kept))
				}
			}
		}
	}
	dir := t.TempDir()
	for _, word := range []string{"one", "two"} {
		if err := os.Rename(saved(t, word), filepath.Join(dir, word+".tar")); err != nil {
			t.Fatal(err)
		}
	}
	restores, seen := 0, map[string]int{}
	for range rounds() {
		last := ""
		killtest.Run(t, dir, 3, 60*time.Millisecond, func(line string) {
			last = line
			restores++
		})
		got := wordIn(t, filepath.Join(dir, "data"))
		seen[got]++
		if got != "one" && got != "two" {
			t.Errorf("in the folder is %q, restored last was %q", got, last)
		}
		if names, err := filepath.Glob(filepath.Join(dir, "data", "*.restore-tmp")); err != nil || len(names) > 0 {
			t.Errorf("left after the next start: %v, %v", names, err)
		}
	}
	t.Logf("%d restores over %d kills: %v", restores, rounds(), seen)
}
