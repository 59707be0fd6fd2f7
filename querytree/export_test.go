package querytree

// SetPartSteps makes the parts that a query is evaluated in small.
func (l *Local) SetPartSteps(n int) { l.partSteps = n }

// OnPart has f called with the number of each part that is taken; what it
// returns is called once the part has been evaluated.
func (l *Local) OnPart(f func(number int) func()) { l.onPart = f }

// BusyCores returns the number of cores in use.
func (l *Local) BusyCores() int64 { return l.cfg.Cores.busy.Load() }

// Occupy notes evaluations that do not end.
func (l *Local) Occupy(n int) { l.cfg.Cores.busy.Add(int64(n)) }
