package main

import (
	"context"
	"log/slog"

	"doorway/gateway/config"
)

func runServer(ctx context.Context, a *app, args []string) error {
	fs := newFlags("run")
	file := fs.String("config", "", "the doorway.toml")
	if _, err := parse(fs, args, 0, 0); err != nil {
		return err
	}
	path, err := configFile(*file)
	if err != nil {
		return err
	}
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	log := newLog(a.err, slog.LevelInfo)
	for _, w := range cfg.Warnings {
		log.Warn("configuration", "comp", "config", "err", w.String())
	}
	s, err := newServer(cfg, log)
	if err != nil {
		return err
	}
	s.group.Add(task("reload", s.onHangup))
	return s.run(ctx)
}
