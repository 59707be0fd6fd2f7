package deploy_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/pandometrics/pando/deploy"
)

// What the control loop finds is what kubectl applies: each role has its workload.
func TestWorkloadsOfAllRoles(t *testing.T) {
	for role, kind := range map[string]string{"leaf": "StatefulSet", "zone": "StatefulSet", "root": "StatefulSet", "gitops": "Deployment"} {
		names, err := fs.Glob(deploy.Workloads(), role+"/*.yaml")
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, name := range names {
			b, err := fs.ReadFile(deploy.Workloads(), name)
			if err != nil {
				t.Fatal(err)
			}
			text := string(b)
			found = found || strings.Contains(text, "kind: "+kind+"\n") && strings.Contains(text, "name: pando-"+role+"\n")
		}
		if !found {
			t.Errorf("%d manifests of %s, and no %s pando-%s", len(names), role, kind, role)
		}
	}
}
