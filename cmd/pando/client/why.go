package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/pandometrics/pando/querytree/treehttp"
)

// Forms in which an explanation is written.
const (
	WhyTree = "tree"
	WhyJSON = "json"
	WhyDot  = "dot"
)

// WhyOptions say what to explain of which query.
type WhyOptions struct {
	// QueryOptions are those of the query; Format and Stats are not used.
	QueryOptions
	// Analyze evaluates the query and tells what each part took.
	Analyze bool
	// Not names a leaf, or a part of its name: say why it was not asked, or what
	// it returned.
	Not string
	// Audit asks the query again without each of the accelerators, and compares.
	Audit bool
	// Output is WhyTree, WhyJSON or WhyDot; empty means WhyTree.
	Output string
	// Verbose lists each child that was pruned.
	Verbose bool
}

// Why writes why a query is answered as it is. It returns the exit code: Failed
// also if an audit finds a difference, Partial if a child is missing.
func Why(ctx context.Context, o WhyOptions, stdout, stderr io.Writer) int {
	var code int
	var err error
	switch {
	case o.Audit && o.Not != "":
		err = errors.New("--audit and --not exclude each other")
	case o.Output == WhyDot && (o.Audit || o.Not != ""):
		err = errors.New("-o dot draws a plan: leave out --audit and --not, or take -o json")
	case o.Audit:
		code, err = o.audit(ctx, stdout, stderr)
	case o.Not != "":
		code, err = o.whyNot(ctx, stdout, stderr)
	default:
		code, err = o.explain(ctx, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return Failed
	}
	return code
}

func (o WhyOptions) explain(ctx context.Context, stdout, stderr io.Writer) (int, error) {
	conn, g, err := o.connect()
	if err != nil {
		return Failed, err
	}
	x, e, err := o.ask(ctx, conn, g, o.Analyze)
	warn(stderr, e)
	if err != nil {
		return Failed, err
	}
	code := OK
	if e.partial {
		code = Partial
	}
	switch o.Output {
	case WhyJSON:
		return code, RenderJSON(stdout, Result{Raw: e.Data})
	case WhyDot:
		return code, renderDot(stdout, x)
	default:
		return code, renderWhy(stdout, x, o.Verbose)
	}
}

func (o WhyOptions) connect() (connection, grid, error) {
	if o.Expr == "" {
		return connection{}, grid{}, errors.New("no PromQL expression is given")
	}
	g, err := o.grid()
	if err != nil {
		return connection{}, g, err
	}
	conn, err := connect(o.Server, o.HTTP)
	return conn, g, err
}

// ask asks for an explanation, without or with evaluating.
func (o WhyOptions) ask(ctx context.Context, conn connection, g grid, analyze bool) (treehttp.Explained, envelope, error) {
	var x treehttp.Explained
	path := "/pando/api/v1/explain"
	if analyze {
		path = "/pando/api/v1/analyze"
	}
	_, params := o.request(g)
	e, err := conn.call(ctx, path, params)
	if err != nil {
		return x, e, err
	}
	if err := json.Unmarshal(e.Data, &x); err != nil {
		return x, e, fmt.Errorf("read explanation: %w", err)
	}
	if x.Explanation == nil {
		return x, e, errors.New("the answer has no explanation")
	}
	return x, e, nil
}

// value asks for the value of an expression, with some more parameters.
func (o QueryOptions) value(ctx context.Context, conn connection, g grid, more url.Values) (Result, error) {
	path, params := o.request(g)
	for name, v := range more {
		params[name] = v
	}
	return conn.result(ctx, path, params)
}

func warn(w io.Writer, e envelope) {
	for _, text := range e.Warnings {
		fmt.Fprintln(w, "warning:", printable(text))
	}
}
