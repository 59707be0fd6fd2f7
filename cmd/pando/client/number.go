package client

import (
	"context"
	"fmt"

	"github.com/prometheus/common/model"
)

// Number asks a query whose answer is one number, such as that of count(…). An
// empty answer is zero. Partial says that the number may be too low, since a child's
// part is missing.
func Number(ctx context.Context, o QueryOptions) (n float64, partial bool, err error) {
	res, err := o.ask(ctx)
	if err != nil {
		return 0, false, err
	}
	switch v := res.Value.(type) {
	case *model.Scalar:
		return float64(v.Value), res.Partial, nil
	case model.Vector:
		if len(v) == 0 {
			return 0, res.Partial, nil
		}
		if len(v) == 1 && v[0].Histogram == nil {
			return float64(v[0].Value), res.Partial, nil
		}
	}
	return 0, res.Partial, fmt.Errorf("%s is not answered by a number", o.Expr)
}

// Printable returns a text from elsewhere as it can be shown on a terminal: control
// characters are replaced.
func Printable(s string) string { return printable(s) }
