package planet

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	yaml "go.yaml.in/yaml/v3"

	"github.com/pandometrics/pando/leaf/aggregate"
	"github.com/pandometrics/pando/querytree"
	"github.com/pandometrics/pando/rollup"
)

// group checks a rule group by Prometheus' own code.
func (c *checker) group(a *spot, f *fragment) {
	var g rulefmt.RuleGroup
	if err := f.tree().Decode(&g); err != nil {
		c.decoded(a, f, err)
		return
	}
	for name := range g.Labels {
		if !model.UTF8Validation.IsValidLabelName(name) || name == model.MetricNameLabel {
			c.fail(a, f, field(f.tree(), "labels"), fmt.Sprintf("%s is not a label name", shortened(name)))
		}
	}
	for i, n := range items(f.tree(), "rules") {
		c.rule(a, f, g.Rules[i], n)
	}
}

// decoded notes the errors of a node that was decoded, which tell its own lines.
func (c *checker) decoded(a *spot, f *fragment, err error) {
	for line := range strings.Lines(strings.TrimSpace(err.Error())) {
		n, text := lineOf(strings.TrimSpace(line))
		if text == "" || strings.HasPrefix(text, "unmarshal errors") {
			continue
		}
		at := f.item.at
		if n > 0 {
			at.line, at.col = n, 0
		}
		c.failAt(a, f, at, text)
	}
}

// position is how Prometheus tells where a rule is wrong; the second is that of
// another field that is concerned.
var position = regexp.MustCompile(`^(\d+):(\d+): (?:\d+:\d+: )?`)

// inExpr is how its parser tells where in an expression.
var inExpr = regexp.MustCompile(`could not parse expression: (\d+):(\d+): `)

func (c *checker) rule(a *spot, f *fragment, r rulefmt.Rule, n *yaml.Node) {
	// Prometheus' parser takes minutes for what is nested too deep.
	if err := querytree.DefaultLimits().CheckQuery(r.Expr); err != nil {
		c.fail(a, f, field(n, "expr"), err.Error())
		return
	}
	var node rulefmt.RuleNode
	if err := n.Decode(&node); err != nil {
		c.decoded(a, f, err)
		return
	}
	for _, err := range r.Validate(node, model.UTF8Validation, c.parser) {
		text, at := err.Error(), place{f.item.at.file, n.Line, n.Column}
		if m := position.FindStringSubmatch(text); m != nil {
			if line, _ := strconv.Atoi(m[1]); line > 0 {
				at.line = line
				at.col, _ = strconv.Atoi(m[2])
			}
			text = text[len(m[0]):]
		}
		c.failAt(a, f, at, inExpr.ReplaceAllString(text, "the expression is wrong at its line $1, column $2: "))
	}
}

// numbered is how package rollup tells of a rule.
var numbered = regexp.MustCompile(`^rollup (\d+)(?: \([^)]*\))?: `)

// rollups checks rollup rules by the code of the tiers that keep them.
func (c *checker) rollups(a *spot, fs []*fragment) {
	for _, f := range fs {
		if err := querytree.DefaultLimits().CheckQuery(text(f.tree(), "expr")); err != nil {
			c.fail(a, f, field(f.tree(), "expr"), err.Error())
			return
		}
	}
	data := listOf("rollups", fs)
	_, err := rollup.Parse(data)
	if err == nil {
		return
	}
	if lineText.MatchString(strings.SplitN(err.Error(), "\n", 2)[0]) || strings.HasPrefix(err.Error(), "yaml:") {
		c.told(a, err, data, func(root *yaml.Node) []pair { return listPairs(root, "rollups", fs) }, first(fs))
		return
	}
	f, title := first(fs), ""
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSuffix(line, "\n")
		if m := numbered.FindStringSubmatch(line); m != nil {
			if n, _ := strconv.Atoi(m[1]); n >= 1 && n <= len(fs) {
				f, title = fs[n-1], fs[n-1].item.title()
			}
			line = line[len(m[0]):]
		}
		n := f.tree()
		if of, _, ok := strings.Cut(line, ": "); ok && field(f.tree(), of) != nil {
			n = field(f.tree(), of)
		}
		c.fail(a, f, n, title+": "+otherNumbers(line, fs))
	}
}

// other is how package rollup names another rule.
var other = regexp.MustCompile(`rollup (\d+)`)

// otherNumbers replaces numbers of rules, which are those of the merged file, by
// where the rules are.
func otherNumbers(text string, fs []*fragment) string {
	return other.ReplaceAllStringFunc(text, func(s string) string {
		n, _ := strconv.Atoi(other.FindStringSubmatch(s)[1])
		if n < 1 || n > len(fs) {
			return s
		}
		return fmt.Sprintf("the rollup at %s:%d", fs[n-1].item.at.file, fs[n-1].item.at.line)
	})
}

// aggregations checks rules of ingest aggregation by the leaf's own code, each by
// itself and then all of them.
func (c *checker) aggregations(a *spot, with *settings, identity map[string]string) {
	var rules []*fragment
	place := aggregate.Place{Identity: names(identity)}
	for _, f := range c.fragments(a, Aggregations) {
		data := listOf("rules", []*fragment{f})
		if f.item.section != "" {
			data = []byte("delay: " + f.tree().Value + "\n")
		} else {
			rules = append(rules, f)
		}
		if !c.once("aggregation", f.key, with.key, strings.Join(place.Identity, ",")) {
			continue
		}
		if err := c.aggregation(data, with, place); err != nil {
			c.told(a, err, data, func(root *yaml.Node) []pair { return listPairs(root, "rules", []*fragment{f}) }, f)
		}
	}
	if !c.once("aggregations", joined(rules)) || c.r.failed() {
		return
	}
	data := listOf("rules", rules)
	if err := c.aggregation(data, with, place); err != nil {
		c.told(a, err, data, func(root *yaml.Node) []pair { return listPairs(root, "rules", rules) }, first(rules))
	}
}

func (c *checker) aggregation(data []byte, with *settings, place aggregate.Place) error {
	r, err := aggregate.Parse(data, with.scrapeInterval())
	if err != nil {
		return err
	}
	return r.Fit(place)
}
