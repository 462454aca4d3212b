package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"doorway/gateway/store"
)

const stateFile, archiveFile = "state.db", "archive.db"

// Room that a healthy box has left. One commit needs little; backups,
// compaction and the system's own log need more.
const (
	diskFail = 32 << 20
	diskWarn = 256 << 20
)

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// folder looks at who may read the data folder, and that everything in it
// belongs to the user that runs doorway: a file that root made once keeps the
// service from starting later.
func folder(_ context.Context, b *Box) []Line {
	const name = "data folder"
	st, err := os.Stat(b.Dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return []Line{ok(name, b.Dir+" is not there yet; the first start makes it.")}
	case errors.Is(err, os.ErrPermission):
		return []Line{fail(name, fmt.Sprintf("%s cannot be looked into.", b.Dir), "Run the doctor with sudo.")}
	case err != nil:
		return []Line{fail(name, err.Error()+".", "Check the path `data` in doorway.toml.")}
	case !st.IsDir():
		return []Line{fail(name, b.Dir+" is not a folder.", "Move that file away, or change `data` in doorway.toml.")}
	}
	var lines []Line
	if mode := st.Mode().Perm(); mode&0o077 != 0 {
		lines = append(lines, fail(name, fmt.Sprintf("Others may enter %s (mode %04o), which holds messages and keys.", b.Dir, mode), "Run `chmod 700 "+b.Dir+"`."))
	}
	owner, _ := st.Sys().(*syscall.Stat_t)
	foreign, unread := "", error(nil)
	err = filepath.WalkDir(b.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			unread = err
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return nil // ignored: it went away meanwhile
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok && owner != nil && s.Uid != owner.Uid && foreign == "" && d.Type()&fs.ModeSymlink == 0 {
			foreign = path
		}
		return nil
	})
	if err = errors.Join(err, unread); err != nil {
		lines = append(lines, fail(name, fmt.Sprintf("%s cannot be looked through: %v.", b.Dir, err), "Run the doctor with sudo."))
	}
	if foreign != "" {
		lines = append(lines, fail(name, fmt.Sprintf("%s does not belong to the owner of %s, so doorway may not be able to use it.", foreign, b.Dir), "Run `chown -R --reference="+b.Dir+" "+b.Dir+"`; it comes from running doorway as another user."))
	}
	if len(lines) == 0 {
		lines = append(lines, ok(name, b.Dir+" is closed to others and wholly its owner's."))
	}
	return lines
}

// disk looks at the room left where the data lies.
func disk(_ context.Context, b *Box) []Line {
	const name = "disk"
	dir := b.Dir
	for !exists(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return []Line{fail(name, fmt.Sprintf("The disk of %s cannot be asked: %v.", dir, err), "Check that it is mounted.")}
	}
	return []Line{diskLine(dir, int64(st.Bavail)*int64(st.Bsize), st.Files > 0 && st.Ffree == 0, st.Flags&unix.ST_RDONLY != 0)}
}

func diskLine(dir string, free int64, noFiles, readOnly bool) Line {
	const name = "disk"
	text := fmt.Sprintf("%d MB are free where %s lies.", free>>20, dir)
	const cure = "Delete what is not needed: old logs (`journalctl --vacuum-size=50M`), packages (`apt clean`), old backups."
	switch {
	case readOnly:
		return fail(name, dir+" lies on a disk that can only be read.", "`dmesg` says why; a worn card turns read-only. Replace it and restore a backup.")
	case noFiles:
		return fail(name, "The disk of "+dir+" can hold no more files.", cure)
	case free < diskFail:
		return fail(name, text, cure)
	case free < diskWarn:
		return warn(name, text, cure)
	}
	return ok(name, text)
}

// databases looks at the store: how full it is while doorway runs, else
// whether both files are whole.
func databases(_ context.Context, b *Box) []Line {
	const name = "store"
	if b.Facts != nil {
		text, full := "", ""
		for _, f := range b.Facts.Files {
			text += fmt.Sprintf("%s uses %d of %d MB. ", f.Name, f.Used>>20, f.Max>>20)
			if f.NearlyFull() {
				full = f.Name
			}
		}
		if full != "" {
			return []Line{warn(name, text[:len(text)-1], full+" is nearly full. Remove accounts and jobs that nobody needs; `doorway queue list` shows the jobs.")}
		}
		return []Line{ok(name, text+"Both are open.")}
	}
	if b.FactsErr != nil {
		return nil // somebody has them open
	}
	var lines []Line
	for _, file := range []string{stateFile, archiveFile} {
		path := filepath.Join(b.Dir, file)
		if !exists(path) {
			continue
		}
		if _, err := store.Verify(path); err != nil {
			cure := "Start doorway: it takes the newest good copy into use, keeps the damaged file and says so. Without a copy restore a backup."
			var e *store.Error
			if errors.As(err, &e) {
				cure = e.Text
			} else if !errors.Is(err, store.ErrDamaged) {
				cure = "Run the doctor with sudo, and while no doorway runs."
			}
			lines = append(lines, fail(name, fmt.Sprintf("%s cannot be used: %v.", path, err), cure))
		}
	}
	if len(lines) == 0 && exists(filepath.Join(b.Dir, stateFile)) {
		lines = append(lines, ok(name, "Both database files were read through and are whole."))
	}
	return lines
}
