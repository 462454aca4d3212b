package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Endings of files beside a database.
const (
	suffixRestore = ".restore-tmp" // being written for a restore
	suffixRescue  = ".rescue-tmp"  // being written to replace a damaged file
	suffixShrink  = ".compact.new" // being written by a compaction
	suffixCompact = ".compact"     // a finished compaction that was not put in place
	suffixSuspect = ".suspect"     // a mark: inspect the file at the next start
	suffixSchema  = ".schema"      // and a number: a copy from before a migration
)

// sequenceGap is added to a table's ids when an older copy comes into use, so
// that ids given out since that copy do not come twice.
const sequenceGap = 1 << 20

// Fallback is a copy of state.db that Open may use when the file is damaged.
type Fallback struct {
	From  string // what it is, in the middle of a sentence: "the nightly backup /var/…"
	At    time.Time
	Write func(io.Writer) error // writes the database out
}

// Recovery says that Open replaced a damaged file.
type Recovery struct {
	File  string    `json:"file"`           // state.db or archive.db
	When  time.Time `json:"when"`           // of the recovery
	Aside string    `json:"aside"`          // where the damaged file is kept
	From  string    `json:"from,omitempty"` // the copy in use; "": the file was begun anew
	At    time.Time `json:"at,omitzero"`    // of that copy
}

// Text is a sentence for the person, with what to do next.
func (r Recovery) Text() string {
	when := r.When.Local().Format("2006-01-02 15:04")
	if r.From == "" {
		return fmt.Sprintf("%s was damaged and was begun anew on %s: older history is missing. The damaged file is kept as %s; delete it when nobody needs it, and this warning goes away. Check the disk: damage comes from power cuts and worn cards.", r.File, when, r.Aside)
	}
	return fmt.Sprintf("%s was damaged on %s; in use since is %s, with what was known on %s. Later changes are lost (accounts, contacts, waiting messages). Texts that waited then may have been sent since, so they are not sent by themselves: `doorway sms list --state possibly-sent` shows them, `doorway queue requeue ID` sends one. The damaged file is kept as %s; delete it when all is well, and this warning goes away. Check the disk: damage comes from power cuts and worn cards.",
		r.File, when, r.From, r.At.Local().Format("2006-01-02 15:04"), r.Aside)
}

// Recovered lists the replaced files whose damaged originals are still kept;
// also those of earlier starts.
func (s *Store) Recovered() []Recovery {
	var list []Recovery
	for _, r := range s.recovered {
		if exists(r.Aside) {
			list = append(list, r)
		}
	}
	return list
}

// keyRecovered is where the meta bucket holds the Recovery of its file.
const keyRecovered = "recovered"

func noteRecovery(path string, r Recovery) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return edit(path, func(tx *bbolt.Tx) error { return tx.Bucket([]byte(metaBucket)).Put([]byte(keyRecovered), raw) })
}

func readRecovery(db *bbolt.DB) (r Recovery, ok bool) {
	err := guarded(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			raw := tx.Bucket([]byte(metaBucket)).Get([]byte(keyRecovered))
			ok = raw != nil && json.Unmarshal(raw, &r) == nil
			return nil
		})
	})
	return r, ok && err == nil
}

// keyCopy marks, in the meta bucket, a state.db that has taken the place of a
// later one and that nobody has come to terms with.
const keyCopy = "copy"

// FromCopy tells that state.db is a copy that a restore, or Open because of
// damage, has put in place: the world may have gone on since it was made. It
// stays so until SettleCopy.
func (s *Store) FromCopy() (is bool, err error) {
	err = guarded(func() error {
		return s.files[state].db.View(func(tx *bbolt.Tx) error {
			is = tx.Bucket([]byte(metaBucket)).Get([]byte(keyCopy)) != nil
			return nil
		})
	})
	return is, err
}

// SettleCopy says that what follows from FromCopy is done. It is called before
// Run.
func (s *Store) SettleCopy() error {
	err := guarded(func() error {
		return s.files[state].db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(metaBucket)).Delete([]byte(keyCopy)) })
	})
	if err != nil {
		return fmt.Errorf("settle the copy in use: %w", err)
	}
	return nil
}

// edit changes a database file that is not in use.
func edit(path string, f func(tx *bbolt.Tx) error) error {
	db, err := openGuarded(path, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = guarded(func() error { return db.Update(f) })
	return errors.Join(err, db.Close())
}

// isDamage tells a damaged file from everything else that can go wrong with it.
func isDamage(path string, err error) bool {
	for _, e := range []error{ErrDamaged, berrors.ErrInvalid, berrors.ErrVersionMismatch, berrors.ErrChecksum, syscall.EIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	for _, e := range []error{ErrNewer, ErrLocked, fs.ErrPermission, berrors.ErrTimeout, syscall.ENOSPC, syscall.EROFS, syscall.ENOMEM, syscall.EMFILE} {
		if errors.Is(err, e) {
			return false
		}
	}
	return errors.Is(inspectFile(path), ErrDamaged)
}

// rescue replaces a damaged file: state.db by the newest good copy there is,
// archive.db by an empty one. Without a good copy the error is cause.
func rescue(path string, c class, o Options, damage error) error {
	now := time.Now()
	r := Recovery{File: names[c], When: now.UTC().Truncate(time.Second), Aside: asideName(path, "damaged", now)}
	tmp := path + suffixRescue
	if c == archive {
		if err := createFile(tmp, c, o.bolt()); err != nil {
			return errors.Join(damage, err)
		}
		dropOldAsides(path)
	} else {
		used, err := chooseCopy(path, tmp, o.Fallbacks)
		if err != nil {
			return errors.Join(damage, err)
		}
		r.From, r.At = used.From, used.At
	}
	if err := noteRecovery(tmp, r); err != nil {
		return errors.Join(damage, err)
	}
	_, err := replaceFile(path, tmp, r.Aside)
	return err
}

// dropOldAsides makes room: of damaged archives only the newest is kept.
func dropOldAsides(path string) {
	for _, f := range beside(path, filepath.Base(path)+".damaged-", "") {
		_ = os.Remove(f) // ignored: it only takes space
	}
}

// chooseCopy writes the newest good copy of a damaged state.db to tmp.
func chooseCopy(path, tmp string, more func() []Fallback) (Fallback, error) {
	list := copiesBeside(path)
	if more != nil {
		list = append(list, more()...)
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].At.After(list[j].At) })
	var errs []error
	for _, f := range list {
		err := makeCandidate(tmp, f.Write)
		if err == nil {
			return f, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", f.From, err))
	}
	return Fallback{}, errors.Join(errs...)
}

// copiesBeside lists what lies in the data folder itself: the damaged file
// without its last commit, a finished compaction, copies from before migrations.
func copiesBeside(path string) []Fallback {
	var list []Fallback
	add := func(file, from string) {
		if st, err := os.Stat(file); err == nil {
			list = append(list, Fallback{From: from, At: st.ModTime(), Write: func(w io.Writer) error { return pour(file, w) }})
		}
	}
	if st, err := os.Stat(path); err == nil {
		list = append(list, Fallback{From: "the same file without its last commit", At: st.ModTime(), Write: func(w io.Writer) error {
			if err := pour(path, w); err != nil {
				return err
			}
			f, ok := w.(*os.File)
			if !ok {
				return fmt.Errorf("step back: %w", errors.ErrUnsupported)
			}
			return forgetLastCommit(f)
		}})
	}
	add(path+suffixCompact, "the copy that a compaction left")
	for _, f := range beside(path, filepath.Base(path)+suffixSchema, "") {
		if !strings.HasSuffix(f, ".new") {
			add(f, "the copy from before an upgrade, "+filepath.Base(f))
		}
	}
	return list
}

// beside lists the files in the folder of path whose names begin and end so.
func beside(path, prefix, suffix string) []string {
	entries, _ := os.ReadDir(filepath.Dir(path)) // ignored: then nothing is found
	var list []string
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), suffix) {
			list = append(list, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	return list
}

func pour(file string, w io.Writer) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return errors.Join(err, f.Close())
}

// makeCandidate writes a database to tmp, verifies it and moves its ids on.
func makeCandidate(tmp string, write func(io.Writer) error) error {
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err := errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(tmp) // ignored: the first error is the one to tell
		return err
	}
	_, err = Verify(tmp)
	if err == nil {
		err = edit(tmp, func(tx *bbolt.Tx) error { // syncs the whole file
			return errors.Join(raiseSequences(tx), tx.Bucket([]byte(metaBucket)).Put([]byte(keyCopy), []byte("1")))
		})
	}
	if err != nil {
		_ = os.Remove(tmp) // ignored: the first error is the one to tell
		return err
	}
	return nil
}

func raiseSequences(tx *bbolt.Tx) error {
	return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		if string(name) == metaBucket {
			return nil
		}
		return b.SetSequence(b.Sequence() + sequenceGap)
	})
}

// asideName is a free name beside path that says what was done and when.
func asideName(path, word string, at time.Time) string {
	base := path + "." + word + "-" + at.UTC().Format("20060102T150405Z")
	name := base
	for i := 2; exists(name); i++ {
		name = fmt.Sprintf("%s.%d", base, i)
	}
	return name
}

// replaceFile puts tmp in the place of path and keeps what was there under
// aside. path exists at any moment, if it existed before. It reports the name
// of the old file, "" when there was none.
func replaceFile(path, tmp, aside string) (kept string, err error) {
	if err := likeFolder(tmp); err != nil {
		return "", err
	}
	if exists(path) {
		kept = aside
		if err := os.Link(path, aside); err != nil {
			// A file system without links: for a moment there is no such file.
			if err := os.Rename(path, aside); err != nil {
				return "", err
			}
		}
	}
	if err := os.Rename(tmp, path); err != nil {
		return "", err
	}
	return kept, syncFolder(filepath.Dir(path))
}

// likeFolder gives a file that root made to the owner of its folder, who runs
// the server.
func likeFolder(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	st, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	owner, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
}

// suspect marks a file in which bbolt found damage while it was in use.
func (f *dbFile) suspect() {
	_ = os.WriteFile(f.path+suffixSuspect, nil, 0o600) // ignored: then the damage shows at another time
}

// tidy removes what an end at a bad moment left behind. The folder is locked
// and its files are good.
func tidy(dir string) {
	for _, name := range names {
		path := filepath.Join(dir, name)
		for _, s := range []string{suffixRestore, suffixRescue, suffixShrink, suffixCompact, suffixSuspect, ".new"} {
			_ = os.Remove(path + s) // ignored: it only takes space
		}
	}
	for _, c := range beside(filepath.Join(dir, names[state]), "", CopySuffix) {
		_ = os.Remove(c) // ignored: it only takes space
	}
}
