package spool

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"sort"
	"strings"
	"syscall"
	"time"
)

// look is how a file was found; it changes when the file does, but not when it is renamed.
type look struct {
	dev, ino uint64
	size     int64
	mod      int64
}

// lookOf also tells how many names a file has, and when it was last touched in any way, which nobody can set.
func lookOf(st fs.FileInfo) (l look, links uint64, touched time.Time) {
	l = look{size: st.Size(), mod: st.ModTime().UnixNano()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		l.dev, l.ino, links = uint64(sys.Dev), sys.Ino, uint64(sys.Nlink)
		touched = time.Unix(sys.Ctim.Unix())
	}
	return l, links, touched
}

// names lists a folder, at most mostNames, without what is hidden or a lock.
func (s *Spool) names(folder string) ([]fs.DirEntry, error) {
	d, err := os.Open(s.path(folder, ""))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var list []fs.DirEntry
	for n := 0; n < mostNames; {
		some, err := d.ReadDir(500)
		n += len(some)
		for _, e := range some {
			if name := e.Name(); name[0] != '.' && !strings.HasSuffix(name, ".LOCK") {
				list = append(list, e)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

var (
	errLarge = fmt.Errorf("the file is larger than %d KB", mostBytes>>10)
	errOther = errors.New("it is no ordinary file")
)

// read returns a file and how it was found; it follows no link and waits for no pipe.
func (s *Spool) read(folder, name string) ([]byte, look, error) {
	f, err := os.OpenFile(s.path(folder, name), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, look{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, look{}, err
	}
	if !st.Mode().IsRegular() {
		return nil, look{}, errOther
	}
	before, _, _ := lookOf(st)
	b, err := io.ReadAll(io.LimitReader(f, mostBytes+1))
	if err != nil {
		return nil, look{}, err
	}
	if len(b) > mostBytes {
		return nil, look{}, errLarge
	}
	if st, err = f.Stat(); err != nil {
		return nil, look{}, err
	}
	after, _, _ := lookOf(st)
	if after != before || int64(len(b)) != after.size {
		after = look{} // somebody writes into it
	}
	return b, after, nil
}

// cause is an error without the path, which people know.
func cause(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// candidate is a file in outgoing that did not change since the last round.
type candidate struct {
	name    string
	look    look
	links   uint64
	touched time.Time
}

// take moves files that are whole from outgoing to checked.
func (s *Spool) take() error {
	stable, err := s.stable()
	if err != nil {
		return err
	}
	list, err := s.fit(stable, min(atOnce, mostFiles-len(s.claims)))
	if err != nil {
		return err
	}
	rows := map[string]any{}
	moves := map[string]*claim{}
	for _, k := range list {
		key, err := newKey()
		if err != nil {
			return err
		}
		name := s.free(checked, k.name, func(n string) bool { return s.claims[n] != nil || rows["out/"+n] != nil })
		c := &claim{name: name, look: k.look, fresh: true, row: row{V: rowVersion, Key: key, At: s.o.Now()}}
		rows["out/"+name], moves[k.name] = c.row, c
	}
	if len(rows) == 0 {
		return nil
	}
	if err := s.o.Table.Write(rows); err != nil {
		return err
	}
	back := map[string]any{}
	s.moved = true
	var errs []error
	for from, c := range moves {
		if err := os.Rename(s.path(outgoing, from), s.path(checked, c.name)); err != nil {
			back["out/"+c.name] = nil
			if !errors.Is(err, fs.ErrNotExist) { // its sender took it back
				errs = append(errs, err)
			}
			continue
		}
		s.claims[c.name] = c
		delete(s.looks, from)
	}
	if len(back) > 0 {
		errs = append(errs, s.o.Table.Write(back))
	}
	return errors.Join(errs...)
}

// settleMoves returns when the moves from outgoing to checked are on disk. Before that nothing of those files may get into
// the queue: after a power cut they might be in outgoing again.
func (s *Spool) settleMoves() error {
	if !s.moved {
		return nil
	}
	if err := errors.Join(s.sync(checked), s.sync(outgoing)); err != nil {
		return err
	}
	s.moved = false
	return nil
}

// stable lists the files of outgoing that do not change, the oldest first. Links are moved to failed.
func (s *Spool) stable() ([]candidate, error) {
	names, err := s.names(outgoing)
	if err != nil {
		return nil, err
	}
	looks := make(map[string]look, len(names))
	var list []candidate
	for _, e := range names {
		name := e.Name()
		st, err := e.Info()
		if err != nil {
			continue // ignored: it has gone
		}
		if t := e.Type(); t&fs.ModeSymlink != 0 {
			if err := s.reject(name, "The file is a symbolic link, and links are not followed. Put the file itself into outgoing."); err != nil {
				return nil, err
			}
			continue
		} else if !t.IsRegular() {
			if !t.IsDir() {
				s.once("what lies in outgoing is no ordinary file and stays there", name, t.String())
			}
			continue
		}
		l, links, touched := lookOf(st)
		looks[name] = l
		if s.looks[name] == l {
			list = append(list, candidate{name, l, links, touched})
		}
	}
	s.looks = looks
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		return a.look.mod < b.look.mod || a.look.mod == b.look.mod && a.name < b.name
	})
	return list, nil
}

// fit lists the first files, at most most, that can be taken. What can never be is moved to failed.
func (s *Spool) fit(stable []candidate, most int) ([]candidate, error) {
	var list []candidate
	for _, k := range stable {
		if len(list) >= most {
			break
		}
		if _, err := os.Lstat(s.path(outgoing, k.name+".LOCK")); err == nil {
			continue
		}
		why, never := s.unfit(k)
		switch why {
		case "":
			list = append(list, k)
			continue
		case inWork:
			continue
		}
		if never || s.o.Now().Sub(k.touched) > patience {
			if err := s.reject(k.name, why); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// inWork says that somebody writes into a file just now.
const inWork = "in work"

// unfit is why a file cannot be taken yet, "" when it can; never says that waiting will not help.
func (s *Spool) unfit(k candidate) (why string, never bool) {
	b, now, err := s.read(outgoing, k.name)
	var f *fault
	switch {
	case errors.Is(err, fs.ErrNotExist): // its sender took it back
		return inWork, false
	case errors.Is(err, errLarge):
		return fmt.Sprintf("The file is larger than %d KB.", mostBytes>>10), true
	case err != nil:
		return fmt.Sprintf("The file cannot be read (%v). It must be readable for the user that doorway runs as: chmod 660, and its group.", cause(err)), false
	case k.links > 1:
		return "The file has another name elsewhere (a hard link). Put a file of its own into outgoing.", false
	case len(b) == 0:
		return "The file is empty.", false
	case now != k.look:
		return inWork, false
	}
	if _, err := parse(b); errors.As(err, &f) && f.early && s.o.Now().Sub(k.touched) < patience {
		return f.text, false
	}
	return "", false
}

// reject moves what cannot be taken to failed: a file NAME with the reason, and the thing itself as NAME.orig, unless it is a link or empty.
func (s *Spool) reject(name, why string) error {
	s.o.Log.Warn("file in outgoing not sent", "comp", "spool", "ref", name, "err", why)
	to := s.free(failed, name, nil)
	if err := s.write(failed, to, compose(nil, nil, s.failure(why))); err != nil {
		return err
	}
	old := s.path(outgoing, name)
	if st, err := os.Lstat(old); err == nil && st.Mode().IsRegular() && st.Size() > 0 {
		return os.Rename(old, s.path(failed, s.free(failed, to+".orig", nil)))
	}
	return os.Remove(old)
}

func (s *Spool) failure(why string) []header {
	return []header{{"Failed", stamp(s.o.Now())}, {"Fail_reason", why}}
}

// free is a name that nothing in the folder has: the file's own, or with a number.
func (s *Spool) free(folder, name string, used func(string) bool) string {
	name = strings.ToValidUTF8(name, "_") // rows are JSON
	if len(name) > 200 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(name)) // ignored: it cannot fail
		name = fmt.Sprintf("%s-%x", strings.ToValidUTF8(name[:180], ""), h.Sum64())
	}
	try := name
	for i := 1; ; i++ {
		if _, err := os.Lstat(s.path(folder, try)); errors.Is(err, fs.ErrNotExist) && (used == nil || !used(try)) || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return try // ignored: what else is wrong shows when it is written
		}
		try = fmt.Sprintf("%s.%d", name, i)
	}
}

// unfinished begins the names of files that are being written.
const unfinished = ".doorway-"

// write makes a file, as a whole or not at all, and returns when it is on disk.
func (s *Spool) write(folder, name string, data []byte) error {
	tmp := s.path(folder, unfinished+name)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o640), f.Sync(), f.Close()) // whatever the umask
	if err == nil {
		err = os.Rename(tmp, s.path(folder, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return s.sync(folder)
}

func (s *Spool) sync(folder string) error {
	d, err := os.Open(s.path(folder, ""))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
