package planetbench_test

import "strings"

// Words that names are made of, as in a software company's catalogue.
var (
	regions = strings.Fields("us-east us-west us-central eu-west eu-central eu-north eu-south ap-southeast ap-northeast ap-south sa-east me-central af-south ca-central")
	domains = strings.Fields(`payments checkout cart catalog search pricing orders shipping inventory ledger billing invoice identity
		auth session profile notify email sms push chat feed social ads bidder ranking recommend media video image audio upload
		storage archive backup audit fraud risk credit loans trade quotes market ticket travel hotel flight maps geo routing
		fleet driver courier kitchen menu review rating survey`)
	parts = strings.Fields(`api web gateway worker consumer producer cron sync cache index query store reader writer proxy
		router scheduler exporter loader merger encoder indexer crawler listener relay bridge portal console engine
		resolver validator planner tracker monitor manager broker adapter agent collector dispatcher executor fetcher
		generator handler importer joiner keeper limiter mapper`)
	adjectives = strings.Fields(`core edge prod blue green main next global local fast bulk legacy shared secure public private
		internal partner retail mobile`)
	nouns = strings.Fields(`entries requests items events messages jobs tasks records batches retries failures hits misses
		evictions conflicts timeouts documents pages users transfers`)
	methods = strings.Fields("GET POST PUT DELETE")
	codes   = strings.Fields("200 200 200 201 204 301 304 400 401 403 404 429 500 502 503")
	bounds  = strings.Fields("0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 +Inf")
)

// shortAlphabet is what Kubernetes makes the random ends of names from.
const shortAlphabet = "bcdfghjklmnpqrstvwxz2456789"
