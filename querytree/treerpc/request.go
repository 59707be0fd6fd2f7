package treerpc

import (
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/querytree/querytreepb"
)

func execToWire(r querytree.ExecRequest, accept uint32) *querytreepb.ExecRequest {
	return &querytreepb.ExecRequest{
		Options: optionsToWire(r.Options), Query: []byte(r.Query),
		Start: r.Start, End: r.End, Step: r.Step, Lookback: r.Lookback, Ops: r.Ops, Accept: accept, Stats: r.Stats, ByGroup: r.ByGroup,
	}
}

func execFromWire(w *querytreepb.ExecRequest) (querytree.ExecRequest, grid, error) {
	r := querytree.ExecRequest{
		Options: optionsFromWire(w.GetOptions()), Query: string(w.GetQuery()),
		Start: w.GetStart(), End: w.GetEnd(), Step: w.GetStep(), Lookback: w.GetLookback(), Ops: w.GetOps(), Stats: w.GetStats(),
		ByGroup: w.GetByGroup(),
	}
	g, err := newGrid(r)
	if err != nil {
		return r, g, fmt.Errorf("%w: %w", errBadData, err)
	}
	return r, g, nil
}

func selectToWire(r querytree.SelectRequest, accept uint32) *querytreepb.SelectRequest {
	return &querytreepb.SelectRequest{
		Options: optionsToWire(r.Options), Mint: r.Mint, Maxt: r.Maxt, Matchers: matchersToWire(r.Matchers),
		LabelsOnly: r.LabelsOnly, WholeChunks: r.WholeChunks, Limit: count(r.Limit), Accept: accept,
	}
}

func selectFromWire(w *querytreepb.SelectRequest) (querytree.SelectRequest, error) {
	ms, err := matchersFromWire(w.GetMatchers())
	return querytree.SelectRequest{
		Options: optionsFromWire(w.GetOptions()), Mint: w.GetMint(), Maxt: w.GetMaxt(), Matchers: ms,
		LabelsOnly: w.GetLabelsOnly(), WholeChunks: w.GetWholeChunks(), Limit: number(w.GetLimit()),
	}, err
}

func namesToWire(r querytree.NamesRequest) *querytreepb.NamesRequest {
	return &querytreepb.NamesRequest{
		Options: optionsToWire(r.Options), Label: []byte(r.Label), Mint: r.Mint, Maxt: r.Maxt,
		Matchers: matchersToWire(r.Matchers), Limit: count(r.Limit),
	}
}

func namesFromWire(w *querytreepb.NamesRequest) (querytree.NamesRequest, error) {
	ms, err := matchersFromWire(w.GetMatchers())
	return querytree.NamesRequest{
		Options: optionsFromWire(w.GetOptions()), Label: string(w.GetLabel()), Mint: w.GetMint(), Maxt: w.GetMaxt(),
		Matchers: ms, Limit: number(w.GetLimit()),
	}, err
}

func metadataToWire(r querytree.MetadataRequest) *querytreepb.MetadataRequest {
	return &querytreepb.MetadataRequest{
		Options: optionsToWire(r.Options), Metric: []byte(r.Metric),
		Limit: count(r.Limit), LimitPerMetric: count(r.LimitPerMetric),
	}
}

func metadataFromWire(w *querytreepb.MetadataRequest) querytree.MetadataRequest {
	return querytree.MetadataRequest{
		Options: optionsFromWire(w.GetOptions()), Metric: string(w.GetMetric()),
		Limit: number(w.GetLimit()), LimitPerMetric: number(w.GetLimitPerMetric()),
	}
}

func exemplarsToWire(r querytree.ExemplarsRequest) *querytreepb.ExemplarsRequest {
	w := &querytreepb.ExemplarsRequest{Options: optionsToWire(r.Options), Mint: r.Mint, Maxt: r.Maxt}
	for _, ms := range r.Selectors {
		w.Selectors = append(w.Selectors, &querytreepb.Selector{Matchers: matchersToWire(ms)})
	}
	return w
}

func exemplarsFromWire(w *querytreepb.ExemplarsRequest) (querytree.ExemplarsRequest, error) {
	r := querytree.ExemplarsRequest{Options: optionsFromWire(w.GetOptions()), Mint: w.GetMint(), Maxt: w.GetMaxt()}
	for _, s := range w.GetSelectors() {
		ms, err := matchersFromWire(s.GetMatchers())
		if err != nil {
			return r, err
		}
		r.Selectors = append(r.Selectors, append([]*labels.Matcher{}, ms...))
	}
	return r, nil
}
