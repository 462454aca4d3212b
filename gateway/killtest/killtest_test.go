package killtest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestRun: the child works in the folder, is killed, and is heard to the end.
func TestRun(t *testing.T) {
	if dir := Dir(); dir != "" {
		for i := 0; ; i++ {
			Die(os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600))
			fmt.Println(i)
		}
	}
	rounds, lines := 0, 0
	Rounds(3, func(i int) {
		if i != rounds {
			t.Errorf("round %d comes as %d", rounds, i)
		}
		rounds++
		dir := t.TempDir()
		Run(t, dir, 20, time.Millisecond, func(line string) {
			lines++
			if _, err := os.Stat(filepath.Join(dir, line)); err != nil {
				t.Error(err)
			}
		})
	}, func() bool { return rounds >= 5 })
	if rounds != 5 || lines < rounds {
		t.Errorf("%d rounds, %d lines", rounds, lines)
	}
	rounds = 0
	Rounds(2, func(int) { rounds++ }, func() bool { return false })
	if rounds != 20 {
		t.Errorf("%d rounds at most", rounds)
	}
}
