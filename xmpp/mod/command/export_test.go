package command

// Running counts the executions that are kept.
func (m *Module) Running() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.running)
}
