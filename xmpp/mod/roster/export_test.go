package roster

// Loaded is how many accounts are in memory.
func (m *Module) Loaded() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.accounts)
}
