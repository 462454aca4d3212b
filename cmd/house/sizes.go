package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// sizeLimit is the budget of the stripped binary for linux/arm64, in bytes.
const sizeLimit = 12 << 20

// sizes builds the shipped binary for every target, and fails when the one of
// the usual box is over the budget.
func sizes(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "doorway-size")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	over := false
	for _, t := range []struct{ arch, arm string }{{"arm64", ""}, {"arm", "6"}, {"arm", "7"}, {"amd64", ""}} {
		name := "linux/" + t.arch
		if t.arm != "" {
			name += "v" + t.arm
		}
		file := filepath.Join(dir, "doorway")
		env := []string{"GOOS=linux", "GOARCH=" + t.arch, "GOARM=" + t.arm}
		if err := loud(ctx, env, "make", "-s", "build", "OUT="+file); err != nil {
			return err
		}
		st, err := os.Stat(file)
		if err != nil {
			return err
		}
		fmt.Printf("BenchmarkBinarySize/%s 1 %.2f MiB\n", name, float64(st.Size())/(1<<20))
		over = over || t.arch == "arm64" && st.Size() > sizeLimit
	}
	if over {
		return fmt.Errorf("the binary is over the budget of %d MiB", sizeLimit>>20)
	}
	return nil
}
