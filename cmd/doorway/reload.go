package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"doorway/gateway/config"
	"doorway/gateway/supervise"
	"doorway/xmpp/jid"
)

// reloaded is what became of a reload.
type reloaded struct {
	Config   string   `json:"config"`
	Applied  []string `json:"applied"` // keys whose new values hold now
	Restart  []string `json:"restart"` // keys that wait for a restart
	Warnings []string `json:"warnings"`
	Text     string   `json:"text"`
}

// reload reads the configuration again and applies what can be applied: the
// certificate's files, whether their names changed or what is in them, and the
// keys that config.Config.Reload takes. Open streams are not touched. On an
// error nothing has changed.
func (s *server) reload() (reloaded, error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if s.serving.Load() {
		notify := supervise.Notifier{Log: s.log}
		notify.Reloading()
		defer notify.Ready()
	}
	r, err := s.apply()
	if err != nil {
		s.log.Error("configuration not read again, nothing was changed", "comp", "config", "err", err)
		return r, fmt.Errorf("nothing was changed:\n%w", err)
	}
	s.log.Info("configuration read again", "comp", "config", "applied", strings.Join(r.Applied, ","), "restart", strings.Join(r.Restart, ","))
	return r, nil
}

func (s *server) apply() (reloaded, error) {
	r := reloaded{Config: s.cfg.File, Applied: []string{}, Restart: []string{}, Warnings: []string{}}
	next, err := config.Load(s.cfg.File)
	if err != nil {
		return r, err
	}
	for _, w := range next.Warnings {
		r.Warnings = append(r.Warnings, w.String())
	}
	runs := s.cfg.Reload(next)
	r.Applied, r.Restart = config.Changes(s.live.Load(), runs), config.Changes(runs, next)
	if slices.Contains(r.Applied, "xmpp.certificate") || slices.Contains(r.Applied, "xmpp.key") {
		err = s.certs.Use(runs.XMPP.Certificate, runs.XMPP.Key)
	} else {
		err = s.certs.Reload()
	}
	if err != nil && runs.XMPP.Certificate != "" {
		err = fmt.Errorf("%s: %w", next.Where("xmpp.certificate"), err)
	}
	if err != nil {
		return r, err
	}
	s.live.Store(runs)
	r.Text = r.sentence()
	return r, nil
}

func (r reloaded) sentence() string {
	text := "Nothing in it has changed; the certificate was read again."
	if len(r.Applied) > 0 {
		text = "Now in use: " + strings.Join(r.Applied, ", ") + "."
	} else if len(r.Restart) > 0 {
		text = "The certificate was read again."
	}
	if len(r.Restart) > 0 {
		text += " These need a restart of doorway: " + strings.Join(r.Restart, ", ") + "."
	}
	return text
}

// recipients get texts from numbers that nobody is in conversation with.
func (s *server) recipients() []jid.JID {
	list, err := smsRecipients(s.live.Load())
	if err != nil { // config.Load has checked each of them
		s.log.Error("sms.recipients cannot be used", "comp", "config", "err", err)
	}
	return list
}

// onHangup reloads at each SIGHUP.
func (s *server) onHangup(ctx context.Context) error {
	hup := make(chan os.Signal, 1) // one waiting signal is as good as many
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			_, _ = s.reload() // ignored: it has logged what came of it
		}
	}
}

func runReload(ctx context.Context, a *app, args []string) error {
	var t target
	if _, err := t.parse(newFlags("reload"), args, 0, 0); err != nil {
		return err
	}
	var r reloaded
	err := t.call(ctx, "reload", nil, &r)
	var faults *config.Error
	switch {
	case errors.As(err, &faults): // the file that was to lead to the server
		return fmt.Errorf("nothing was changed:\n%w", err)
	case err != nil:
		return err
	case t.json:
		return a.printJSON(r)
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(a.err, w)
	}
	fmt.Fprintf(a.out, "%s is read again. %s\n", r.Config, r.Text)
	return nil
}
