package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"doorway/gateway/config"
)

// configuration says whether the file is right, and whether the running
// server uses it.
func configuration(_ context.Context, b *Box) []Line {
	const name = "config"
	var faults *config.Error
	switch {
	case errors.As(b.ConfigErr, &faults):
		var lines []Line
		for _, p := range faults.Problems {
			lines = append(lines, fail(name, p.String(), "Correct that line. A running doorway goes on with what it read before."))
		}
		return lines
	case errors.Is(b.ConfigErr, os.ErrPermission):
		return []Line{fail(name, b.ConfigErr.Error()+".", "Run the doctor with sudo.")}
	case b.ConfigErr != nil:
		return []Line{fail(name, b.ConfigErr.Error()+".", "Name the file with --config.")}
	case b.Config == nil:
		return []Line{warn(name, "No configuration was named, so only the data folder and a running doorway are looked at.", "Name it with --config FILE.")}
	}
	var lines []Line
	for _, w := range b.Config.Warnings {
		lines = append(lines, warn(name, w.String(), "Change that line if it is not meant so."))
	}
	if f := b.Facts; f != nil {
		if f.Fault != "" {
			lines = append(lines, fail(name, "The running doorway cannot take its configuration in again: "+f.Fault+".", "Let its user read the file: `chgrp doorway "+f.Config+"` and `chmod 640 "+f.Config+"`."))
		}
		if len(f.Pending) > 0 {
			lines = append(lines, warn(name, fmt.Sprintf("The running doorway does not know the newest values of %s.", strings.Join(f.Pending, ", ")), "Run `doorway reload`."))
		}
		if len(f.Restart) > 0 {
			lines = append(lines, warn(name, fmt.Sprintf("The running doorway was started with other values of %s.", strings.Join(f.Restart, ", ")), "Run `systemctl restart doorway` when a short pause does no harm."))
		}
	}
	if len(lines) == 0 {
		lines = append(lines, ok(name, b.Config.File+" is right."))
	}
	return lines
}
