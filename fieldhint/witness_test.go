package fieldhint

import (
	"testing"

	"github.com/cespare/xxhash/v2"
)

// A value that seems to be there is believed only with its trigrams and prefixes, unless the
// label may have values without.
func TestValueNeedsItsTrigrams(t *testing.T) {
	name, value := xxhash.Sum64String("job"), xxhash.Sum64String("api")
	alone := fact(name, factValue, value)
	prefixes := appendPrefixes(nil, name, "api")
	unknown := appendSure(nil, name, factUnprefixed)
	q := Compile(selector(t, `job="api"`))
	for _, c := range []struct {
		name string
		fps  []uint64
		want bool
	}{
		{"value alone", []uint64{alone}, false},
		{"value of a label with long values", append([]uint64{alone, fact(name, factLong, 0)}, prefixes...), true},
		{"value without prefixes of a label with long values", []uint64{alone, fact(name, factLong, 0)}, false},
		{"the same, of a label without prefixes", append([]uint64{alone, fact(name, factLong, 0)}, unknown...), true},
		{"all facts of the label", appendLabel(nil, name, "api", value, labelKinds{values: true, trigrams: true}), true},
		{"trigrams alone", appendLabel(nil, name, "api", value, labelKinds{values: true, trigrams: true, prefixes: true})[2:], false},
	} {
		has := map[uint64]bool{}
		for _, fp := range c.fps {
			has[fp] = true
		}
		if got := q.Holds(func(fp uint64) bool { return has[fp] }); got != c.want {
			t.Errorf("%s: holds is %v, want %v", c.name, got, c.want)
		}
	}
}
