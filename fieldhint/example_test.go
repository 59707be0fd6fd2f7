package fieldhint_test

import (
	"context"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/pandometrics/pando/fieldhint"
)

// A leaf offers its series to a parent, which then knows when not to ask.
func Example() {
	set, err := fieldhint.NewSet(fieldhint.SetConfig{External: labels.FromStrings("zone", "eu")})
	if err != nil {
		fmt.Println(err)
		return
	}
	set.AddSeries(labels.FromStrings("__name__", "up", "job", "api"))
	set.SetComplete()

	index, err := fieldhint.NewIndex(fieldhint.IndexConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	feed := index.Open("eu-1")
	defer feed.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	synced := make(chan struct{}, 1)
	go set.Stream(ctx, func(frame []byte) error { // usually, there is a network in between
		err := feed.Apply(frame)
		select {
		case synced <- struct{}{}:
		default:
		}
		return err
	})
	<-synced

	for _, m := range []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, "job", "db"),
		labels.MustNewMatcher(labels.MatchRegexp, "job", "a.+"),
		labels.MustNewMatcher(labels.MatchRegexp, "job", "(db|web)-.*"),
		labels.MustNewMatcher(labels.MatchNotEqual, "job", "db"),
		labels.MustNewMatcher(labels.MatchEqual, "zone", "us"),
	} {
		ms := []*labels.Matcher{m}
		fmt.Printf("{%s} ruled out: %-5v by %s\n", m, index.RulesOut("eu-1", ms, math.MinInt64, math.MaxInt64), index.Compile(ms))
	}
	// Output:
	// {job="db"} ruled out: true  by job="db" OR unvalued(job)
	// {job=~"a.+"} ruled out: false by job~"^^a" OR long(job)
	// {job=~"(db|web)-.*"} ruled out: true  by (job~"^^d" "^db" "db-" OR job~"^^w" "^we" "web" "eb-" OR long(job)) AND (job^="db-" OR job^="web" OR unprefixed(job) OR unprefixed(*))
	// {job!="db"} ruled out: false by ALL
	// {zone="us"} ruled out: true  by zone="us" OR unvalued(zone)
}
