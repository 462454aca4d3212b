package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"doorway/gateway/hook"
	"doorway/gateway/token"
)

// hookRequest is the body of POST /api/v1/webhooks.
type hookRequest struct {
	URL    string   `json:"url"`
	Events []string `json:"events"`
	Style  string   `json:"style"`
	Method string   `json:"method"`
	APIKey string   `json:"api_key"` // sent in the style smseagle
}

// hookMade is its answer; the secret is shown only there.
type hookMade struct {
	hook.Hook
	Secret string `json:"secret"`
}

func (s *Server) hookProblem(err error) *Problem {
	var he *hook.Error
	switch {
	case errors.As(err, &he) && errors.Is(err, hook.ErrUnknown):
		return problem("not-found", he.Text)
	case errors.As(err, &he):
		return problem("refused", he.Text)
	}
	return s.unavailable(err)
}

func (s *Server) addHook(_ context.Context, who token.Token, body []byte, _ string, _ *http.Request) (int, any, *Problem) {
	var req hookRequest
	if p := decode(body, &req); p != nil {
		return 0, nil, p
	}
	h, secret, err := s.c.Hooks.Add(hook.Hook{URL: req.URL, Events: req.Events, Style: req.Style, Method: req.Method}, req.APIKey)
	if err != nil {
		return 0, nil, s.hookProblem(err)
	}
	s.c.Log.Info("webhook made", "comp", "api", "user", who.Name, "ref", h.ID)
	return http.StatusCreated, hookMade{h, secret}, nil
}

func (s *Server) listHooks(w http.ResponseWriter, _ *http.Request, _ token.Token) *Problem {
	s.json(w, http.StatusOK, map[string]any{"webhooks": s.c.Hooks.List()})
	return nil
}

func (s *Server) getHook(w http.ResponseWriter, r *http.Request, _ token.Token) *Problem {
	h, err := s.c.Hooks.Get(r.PathValue("id"))
	if err != nil {
		return s.hookProblem(err)
	}
	s.json(w, http.StatusOK, h)
	return nil
}

func (s *Server) removeHook(w http.ResponseWriter, r *http.Request, who token.Token) *Problem {
	if err := s.c.Hooks.Remove(r.PathValue("id")); err != nil {
		return s.hookProblem(err)
	}
	s.c.Log.Info("webhook removed", "comp", "api", "user", who.Name, "ref", r.PathValue("id"))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) testHook(ctx context.Context, _ token.Token, _ []byte, _ string, r *http.Request) (int, any, *Problem) {
	id, err := s.c.Hooks.TestHook(ctx, r.PathValue("id"))
	if err != nil {
		return 0, nil, s.hookProblem(err)
	}
	return http.StatusAccepted, map[string]any{"delivery": id}, nil
}

func (s *Server) resend(ctx context.Context, who token.Token, _ []byte, _ string, r *http.Request) (int, any, *Problem) {
	n, err := strconv.ParseUint(r.PathValue("delivery"), 10, 64)
	if err != nil {
		return 0, nil, problem("not-found", "The number of a delivery is its id in the list of deliveries.")
	}
	id, err := s.c.Hooks.Resend(ctx, r.PathValue("id"), n)
	if err != nil {
		return 0, nil, s.hookProblem(err)
	}
	s.c.Log.Info("webhook delivery repeated", "comp", "api", "user", who.Name, "ref", r.PathValue("id"), "job", n)
	return http.StatusAccepted, map[string]any{"delivery": id}, nil
}

// deliveriesShown is how many deliveries of a hook are listed.
const deliveriesShown = 50

func (s *Server) listDeliveries(w http.ResponseWriter, r *http.Request, _ token.Token) *Problem {
	list, err := s.c.Hooks.Deliveries(r.PathValue("id"), deliveriesShown)
	if err != nil {
		return s.hookProblem(err)
	}
	s.json(w, http.StatusOK, map[string]any{"deliveries": list})
	return nil
}
