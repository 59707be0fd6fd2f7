package kube_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pandometrics/pando/e2e/kubetest"
)

// Two clusters, of which one has the root, installed from the overlays as they
// are: leaves find targets by the API server, tiers find each other by name
// across clusters and authenticate by certificates, and the root answers for
// all. Pods and volumes are lost, and it answers for all again.
func TestTwoClustersAndARoot(t *testing.T) {
	ca := newAuthority(t)
	eu := startCluster(t, kubetest.Config{Number: 1, Peers: []int{2}})
	us := startCluster(t, kubetest.Config{Number: 2, Peers: []int{1}})
	eu.install("overlays/planet/root", ca, map[string][]string{
		"leaf": nil,
		"zone": {"pando-zone-children", "zone-eu.pando.example.org"},
		"root": {"pando-root-children", "root.pando.example.org"},
	})
	us.install("overlays/planet/zone", ca, map[string][]string{
		"leaf": nil, "gitops": {"pando-gitops"},
		"zone": {"pando-zone-children", "zone-us.pando.example.org"},
	})
	eu.awaitReady()
	us.awaitReady()

	// Who is scraped: every tier, found by the leaf of its cluster.
	targets, by := `count by (zone, cluster, job) (up{job=~"pando-.*"} == 1)`, []string{"zone", "cluster", "job"}
	whole := []string{
		"eu eu-1 pando-gitops 1", "eu eu-1 pando-leaf 1", "eu eu-1 pando-root 2", "eu eu-1 pando-zone 2",
		"us us-1 pando-gitops 1", "us us-1 pando-leaf 1", "us us-1 pando-zone 2",
	}
	for i := range 2 { // each root has the full picture
		awaitAnswer(t, eu.address(fmt.Sprintf("pando-root-%d", i)), targets, by, whole)
	}

	// A root dies: the other one answers, and the next one in its place does.
	eu.replace("pando-root-0", false)
	awaitAnswer(t, eu.address("pando-root-0"), targets, by, whole)

	// A volume is lost with what a zone and a root knew: their children tell them.
	us.replace("pando-zone-1", true)
	eu.replace("pando-root-1", true)
	awaitAnswer(t, eu.address("pando-root-1"), targets, by, whole)

	// Roots are upgraded, one after the other: one of them has the whole answer at any time.
	eu.upgrade("pando-root", func(ctx context.Context, address string) error {
		got, err := query(ctx, address, `count by (zone, cluster) (up{job="pando-leaf"})`, "zone", "cluster")
		if d := cmp.Diff([]string{"eu eu-1 1", "us us-1 1"}, got); err == nil && d != "" {
			return fmt.Errorf("another answer (-want +got):\n%s", d)
		}
		return err
	})

	// A leaf's samples survive its pod: the first of them is the same.
	awaitAnswer(t, eu.address("pando-root-0"), targets, by, whole)
	first, leaf := `min by (cluster) (min_over_time(timestamp(up{job="pando-leaf"})[1h:1s]))`, []string{"cluster"}
	before, err := query(t.Context(), eu.address("pando-root-0"), first, leaf...)
	if err != nil {
		t.Fatal(err)
	}
	us.replace("pando-leaf-0", false)
	awaitAnswer(t, eu.address("pando-root-0"), first, leaf, before)
}

// What a newcomer applies first: a whole planet in one cluster, which scrapes
// whatever pods ask for it.
func TestFirstCluster(t *testing.T) {
	c := startCluster(t, kubetest.Config{Number: 3})
	begun := time.Now()
	c.install("overlays/single-cluster", nil, nil)
	c.awaitReady()
	shop := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{
			"name": "shop-0", "namespace": "default", "labels": map[string]any{"app.kubernetes.io/name": "shop"},
			"annotations": map[string]any{"prometheus.io/scrape": "true", "prometheus.io/port": "9090"},
		},
		// Any program with metrics will do.
		"spec": map[string]any{"containers": []any{map[string]any{
			"name": "shop", "image": image + ":any", "args": []any{"root", "--storage.path=/tmp", "--web.listen-address=0.0.0.0:9090", "--grpc.listen-address=0.0.0.0:9091"},
			"volumeMounts": []any{map[string]any{"name": "tmp", "mountPath": "/tmp"}},
		}}, "volumes": []any{map[string]any{"name": "tmp", "emptyDir": map[string]any{}}}},
	}}
	if err := c.applyOne(shop, nil); err != nil {
		t.Fatal(err)
	}
	targets, by := `count by (zone, cluster, namespace, job) (up == 1)`, []string{"zone", "cluster", "namespace", "job"}
	whole := []string{"home first default shop 1", "home first pando pando-gitops 1", "home first pando pando-leaf 1", "home first pando pando-root 1", "home first pando pando-zone 1"}
	awaitAnswer(t, c.address("pando-root-0"), targets, by, whole)
	t.Logf("the root answers for all that is scraped %v after the overlay was applied", time.Since(begun).Round(time.Second))

	// Nothing of Pando needs the API server to go on.
	root := c.address("pando-root-0")
	c.Pause()
	answered, err := query(t.Context(), root, targets, by...)
	c.Resume()
	if d := cmp.Diff(whole, answered); err != nil || d != "" {
		t.Errorf("while the API server hangs: %v, another answer (-want +got):\n%s", err, d)
	}

	// The whole cluster loses power, and comes back.
	c.Restart()
	awaitAnswer(t, c.address("pando-root-0"), targets, by, whole)
}

// install applies an overlay, and makes the Secrets that cert-manager would.
func (c *cluster) install(overlay string, ca *authority, names map[string][]string) {
	c.t.Helper()
	c.installFolder(filepath.Join(manifests, overlay), ca, names)
}

func (c *cluster) installFolder(overlay string, ca *authority, names map[string][]string) {
	c.t.Helper()
	all := objects(c.t, kubetest.Render(c.t, overlay))
	for role, dns := range names {
		all = append(all, ca.secret("pando-"+role+"-tls", dns))
	}
	c.installed(all)
}

// installed applies objects whatever their order.
func (c *cluster) installed(all []*unstructured.Unstructured) {
	c.t.Helper()
	await(c.t, "the manifests are applied", func(context.Context) error {
		var errs []error
		for _, u := range all { // again if one comes before its namespace
			if err := c.applyOne(u, nil); err != nil {
				errs = append(errs, fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err))
			}
		}
		return errors.Join(errs...)
	})
}

// authority signs certificates that are good for an hour.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key}
	template := template("pando", nil)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func template(name string, dns []string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: dns,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// secret is a certificate in the form that cert-manager gives it.
func (a *authority) secret(name string, dns []string) *unstructured.Unstructured {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template(name, dns), a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
		"metadata":   map[string]any{"name": name, "namespace": namespace},
		"stringData": map[string]any{"tls.crt": text("CERTIFICATE", der), "tls.key": text("PRIVATE KEY", keyDER), "ca.crt": text("CERTIFICATE", a.cert.Raw)},
	}}
}
