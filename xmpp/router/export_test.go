package router

// Lock keeps the session table locked until unlock is called.
func (r *Router) Lock() (unlock func()) {
	r.mu.Lock()
	return r.mu.Unlock
}

// ErrNotAnswered is what answers a request that nobody takes.
func ErrNotAnswered() error { return errNotAnswered() }
