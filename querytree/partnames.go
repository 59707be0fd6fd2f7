package querytree

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
)

// partNames are the label sets by which the engine knows the series of a part:
// numbers of one width, so that their order is that of the series. They are
// made as far as there are series, since most parts have far fewer than fit. It
// is safe for concurrent use.
type partNames struct {
	metric string // the name of all series; empty for none
	width  int

	mu   sync.Mutex
	made []labels.Labels
}

// newPartNames returns the names of up to size series.
func newPartNames(metric string, size int) *partNames {
	return &partNames{metric: metric, width: len(strconv.Itoa(size))}
}

// first returns the names of the first n series, which nobody may change.
func (p *partNames) first(n int) []labels.Labels {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.made); i < n; i++ {
		number := fmt.Sprintf("%0*d", p.width, i)
		if p.metric == "" {
			p.made = append(p.made, labels.FromStrings(partLabel, number))
		} else {
			p.made = append(p.made, labels.FromStrings(labels.MetricName, p.metric, partLabel, number))
		}
	}
	return p.made[:n:n]
}
