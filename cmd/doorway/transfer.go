package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"doorway/gateway/control"
	"doorway/gateway/transfer"
)

// exportAccounts answers user.export with a file in the data folder.
func (s *server) exportAccounts(_ context.Context, local string) (done control.Exported, err error) {
	done.Accounts = []string{}
	var locals []string
	for _, a := range s.people.List() {
		if local == "" || a.Local == local {
			locals = append(locals, a.Local)
			done.Accounts = append(done.Accounts, a.Local+"@"+s.cfg.Domain)
		}
	}
	if local != "" && len(locals) == 0 {
		return done, control.Refuse("There is no account %s. `doorway user list` shows those that exist.", local)
	}
	f, err := os.OpenFile(filepath.Join(s.cfg.Data, fmt.Sprintf("export-%d.xml", time.Now().UnixNano())), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return done, fmt.Errorf("export accounts: %w", err)
	}
	done.Name = filepath.Base(f.Name())
	err = transfer.Export(f, s.cfg.Domain, s.people, locals, transfer.Parts(s.modules.list))
	if err = errors.Join(err, f.Close()); err != nil {
		return done, errors.Join(err, os.Remove(f.Name()))
	}
	s.log.Info("accounts exported", "comp", "people", "accounts", len(locals))
	return done, nil
}

// importAccounts answers user.import.
func (s *server) importAccounts(_ context.Context, r control.ImportRequest) (t control.Transferred, err error) {
	f, err := os.Open(filepath.Join(s.cfg.Data, filepath.Base(r.Name)))
	if err != nil {
		return t, fmt.Errorf("import accounts: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return t, fmt.Errorf("import accounts: %w", err)
	}
	h := transfer.House{Domain: s.cfg.Domain, Accounts: s.people, Parts: transfer.Parts(s.modules.list), Clear: s.modules.clear}
	t.Report, err = transfer.Import(h, f, st.Size(), r.Trial)
	if errors.As(err, &t.Problem) {
		err = nil
	}
	s.log.Info("accounts imported", "comp", "people", "accounts", len(t.Results), "trial", r.Trial, "err", err)
	return t, err
}

// exported is what `doorway user export --json` prints.
type exported struct {
	File     string   `json:"file"`
	Accounts []string `json:"accounts"`
}

func runUserExport(ctx context.Context, a *app, args []string) error {
	var t target
	fs := newFlags("user export")
	all := fs.Bool("all", false, "export all accounts")
	file := fs.String("file", "", "the file to write, which must not be there yet; - is stdout")
	rest, err := t.parse(fs, args, 0, 1)
	switch {
	case err != nil:
		return err
	case *all == (len(rest) == 1):
		return usagef("name one account, or write --all")
	case *file == "":
		return usagef("name the file to write with --file FILE; - is stdout")
	case *file == "-" && t.json:
		return usagef("--json and --file - cannot both have stdout")
	}
	dir, err := t.folder()
	if err != nil {
		return err
	}
	var out io.Writer = a.out
	if *file != "-" {
		f, err := os.OpenFile(*file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("%s is there already; nothing was written. Choose another name", *file)
		}
		if err != nil {
			return err
		}
		defer f.Close()
		out = f
	}
	var r control.ExportRequest
	if len(rest) == 1 {
		r.Local = rest[0]
	}
	done, err := export(ctx, dir, r, out)
	if f, ok := out.(*os.File); ok && *file != "-" {
		if err = errors.Join(err, f.Sync()); err != nil {
			return errors.Join(err, os.Remove(*file))
		}
	}
	switch {
	case err != nil:
		return err
	case t.json:
		return a.printJSON(exported{*file, done.Accounts})
	case *file != "-":
		fmt.Fprintf(a.out, "%s holds %d accounts, with keys that open them: keep it secret, and delete it when it has done its work.\n", *file, len(done.Accounts))
	}
	return nil
}

// export has the server write its file and moves that to out.
func export(ctx context.Context, dir string, r control.ExportRequest, out io.Writer) (done control.Exported, err error) {
	if err := control.Call(ctx, dir, "user.export", r, &done); err != nil {
		return done, err
	}
	path := filepath.Join(dir, filepath.Base(done.Name))
	f, err := os.Open(path)
	if err != nil {
		return done, err
	}
	_, err = io.Copy(out, f)
	return done, errors.Join(err, f.Close(), os.Remove(path))
}

func runUserImport(ctx context.Context, a *app, args []string) error {
	var t target
	fs := newFlags("user import")
	trial := fs.Bool("dry-run", false, "only say what would come of it")
	rest, err := t.parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	dir, err := t.folder()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, control.SocketName)); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w (no server answers in %s)", control.ErrNotRunning, dir)
	}
	lines, path, err := flatten(dir, rest[0])
	if err != nil {
		return fmt.Errorf("nothing was imported: %w", err)
	}
	var done control.Transferred
	err = control.Call(ctx, dir, "user.import", control.ImportRequest{Name: filepath.Base(path), Trial: *trial}, &done)
	if err := errors.Join(err, os.Remove(path)); err != nil {
		return err
	}
	return a.reportImport(t, done, lines, *trial)
}

// flatten puts the file, with what it includes, where the server can read it.
func flatten(dir, file string) (transfer.Map, string, error) {
	path := filepath.Join(dir, fmt.Sprintf("import-%d.xml", time.Now().UnixNano()))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, "", err
	}
	lines, err := transfer.Flatten(f, file)
	if os.Geteuid() == 0 { // the server's user must be able to read it
		if st, serr := os.Stat(dir); serr == nil {
			if owner, ok := st.Sys().(*syscall.Stat_t); ok {
				err = errors.Join(err, f.Chown(int(owner.Uid), int(owner.Gid)))
			}
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, "", errors.Join(err, os.Remove(path))
	}
	return lines, path, nil
}

// importLine is a problem or a note with its place.
type importLine struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Text string `json:"text"`
}

func (a *app) reportImport(t target, done control.Transferred, lines transfer.Map, trial bool) error {
	type result struct {
		transfer.Result
		Problem *importLine `json:"problem,omitempty"`
	}
	report := struct {
		Trial   bool        `json:"dry_run"`
		Results []result    `json:"results"`
		Notes   []string    `json:"notes,omitempty"`
		Problem *importLine `json:"problem,omitempty"`
	}{Trial: trial, Results: []result{}, Notes: done.Notes}
	place := func(p *transfer.Problem) *importLine {
		if p == nil {
			return nil
		}
		file, at := lines.Place(p.Line)
		return &importLine{file, at, p.Text}
	}
	refused := 0
	for _, r := range done.Results {
		if r.State == transfer.Refused {
			refused++
		}
		x := result{Result: r, Problem: place(r.Problem)}
		_, x.Line = lines.Place(r.Line)
		report.Results = append(report.Results, x)
	}
	report.Problem = place(done.Problem)
	if t.json {
		if err := a.printJSON(report); err != nil {
			return err
		}
	} else {
		words := map[string]string{transfer.Imported: "is imported.", transfer.Possible: "can be imported.", transfer.Refused: "is not imported."}
		for _, r := range report.Results {
			fmt.Fprintf(a.out, "%s %s\n", r.Account, words[r.State])
			if r.Problem != nil {
				fmt.Fprintf(a.out, "  %s:%d: %s\n", r.Problem.File, r.Problem.Line, r.Problem.Text)
			}
			for _, n := range r.Notes {
				fmt.Fprintf(a.out, "  %s\n", n)
			}
		}
		for _, n := range report.Notes {
			fmt.Fprintln(a.out, n)
		}
	}
	switch {
	case report.Problem != nil:
		return fmt.Errorf("nothing was imported: %s:%d: %s", report.Problem.File, report.Problem.Line, report.Problem.Text)
	case len(report.Results) == 0:
		return errors.New("the file has no accounts; nothing was imported")
	case refused == len(report.Results):
		return errors.New("none of the accounts was imported")
	case refused > 0:
		return partialError{fmt.Sprintf("%d of %d accounts were not imported", refused, len(report.Results))}
	}
	return nil
}
