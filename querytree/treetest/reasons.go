package treetest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/grafana/regexp"
	"github.com/prometheus/prometheus/promql"

	"github.com/pandometrics/pando/querytree"
)

// A Reason says why an answer that is not the oracle's is right all the same.
// There are no others than those here. All of them are found in the same way: the
// oracle, asked again, does not agree with itself, and the answer is within what
// it then says (see envelope). What it always says, the answer has to say too.
type Reason string

const (
	// ChoiceAmongEquals is the reason where topk, bottomk and limitk keep, and sort
	// puts first, one of several equals, or the first that comes, and PromQL does not
	// say which: the engine goes by the order of its storage, or of a map. Accepted if the
	// oracle makes such a choice where its storage returns series in another order,
	// or what is chosen from is in another order (see reordered);
	// and of a topk or bottomk as a whole, if it has the same values as the oracle's,
	// each in a sample that the operand has (see chosen); of one right over another
	// such choice, if the two can choose so (see chosenTwice); of one over anything
	// else that chooses, if the operand's answer is right and this one is made of it
	// (see chosenOfChosen); and so of any other aggregation of a choice (see madeOfChoice).
	ChoiceAmongEquals Reason = "choice among equals"
	// OrderOfFloats is the reason where a sum of floats depends on the order in which
	// they are added, and so does what is made of it. Accepted if the oracle gives such an answer
	// where its storage returns series in another order.
	OrderOfFloats Reason = "order of floats"
	// OrderOfFloatsAmplified is the same, where the engine hides it from a change of
	// order by carrying the rounding errors of a sum along, which partial sums have
	// lost: a modulo, an angle, a difference or a variance of nearly equal numbers,
	// a slope, a power make much of one unit in the last place; a comparison, a
	// rounding or a label of count_values make all of it. Accepted if the oracle
	// gives such an answer where each of its series is scaled by some units in the
	// last place.
	OrderOfFloatsAmplified Reason = "order of floats, amplified"
)

// mostAccepted is the share of comparisons that may be accepted for a reason,
// once there were enough to tell.
const (
	mostAccepted = 0.02
	enoughToTell = 500
)

// rounds are how the oracle is asked again, until the answer is accepted.
var rounds = []struct {
	runs   int
	jitter bool
}{{10, false}, {40, false}, {150, false}, {20, true}, {80, true}}

// chooses finds what may choose among equals.
var chooses = regexp.MustCompile(`(?i)\b(topk|bottomk|limitk|sort\w*)\b`)

// accepted returns why an answer that differs from the oracle's is right all the
// same, or what is wrong with it even so.
func (p *Planet) accepted(q Query, want, got *promql.Result) (Reason, string) {
	if p.chosen(q, want, got) {
		return ChoiceAmongEquals, ""
	}
	e := newEnvelope(q, p.tolerance(), errorClass(got.Err))
	e.add(want, true)
	var why string
	for i, r := range rounds {
		e.jitter = r.jitter
		for n := range r.runs {
			seed := int64(1000*i + n)
			s := querytree.Sorted(p.TestStorage)
			if n > 0 || !r.jitter {
				s = shuffled{p.TestStorage, seed}
			}
			if r.jitter {
				s = jittered{s, seed}
			}
			asked, other := q, false
			if n%2 == 1 {
				asked, other = reordered(q, seed)
			}
			e.add(Run(context.Background(), p.oracle, s, asked), !other)
		}
		if why = e.outside(got); why != "" {
			continue
		}
		switch {
		case r.jitter:
			return OrderOfFloatsAmplified, ""
		case chooses.MatchString(q.Expr) && p.tolerance().diffShape(q.Expr, want, got):
			return ChoiceAmongEquals, ""
		default:
			return OrderOfFloats, ""
		}
	}
	// These look at samples alone.
	if got.Err == nil && e.outsideNotes(notes(q.Expr, got)) != "" {
		return "", why
	}
	if want.Err == nil && (p.chosenTwice(q, want, got) || p.chosenOfChosen(q, got) || p.madeOfChoice(q, got)) {
		return ChoiceAmongEquals, ""
	}
	return "", why
}

// verdicts counts comparisons, and those accepted by reason.
type verdicts struct {
	mu       sync.Mutex
	compared int
	accepted map[Reason]int
	examples map[Reason]string
}

func (v *verdicts) add(q Query, r Reason) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.compared++
	if r == "" {
		return
	}
	if v.accepted == nil {
		v.accepted, v.examples = map[Reason]int{}, map[Reason]string{}
	}
	v.accepted[r]++
	if old := v.examples[r]; old == "" || len(q.Expr) < len(old) {
		v.examples[r] = q.String()
	}
}

// check logs what was accepted, and fails the test if it was too much.
func (v *verdicts) check(tb testing.TB) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for _, r := range slices.SortedFunc(maps.Keys(v.accepted), func(a, b Reason) int { return cmp.Compare(a, b) }) {
		n += v.accepted[r]
		tb.Logf("of %d comparisons accepted: %d for %s, such as %s", v.compared, v.accepted[r], r, v.examples[r])
	}
	if share := float64(n) / float64(max(v.compared, enoughToTell)); share > mostAccepted {
		tb.Errorf("%.2f%% of %d comparisons are accepted though they differ, want at most %.0f%%", 100*share, v.compared, 100*mostAccepted)
	}
}
