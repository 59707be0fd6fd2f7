package kube_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/pandometrics/pando/e2e/kubetest"
	"github.com/pandometrics/pando/gitops"
	"github.com/pandometrics/pando/gitops/gittest"
)

// planetOfOne is a planet whose loop keeps the leaf. The root is installed.
const planetOfOne = `apiVersion: pando/v1
zones: [{name: eu}]
root: {addresses: ["pando-root-children:9091"]}
clusters: [{name: eu-1, zone: eu}]
waves: [{name: all}]
allow: {discovery: [static], files: [/missing/token]}
deploy:
  image: ` + image + `:1
  leaf: {replicas: 1, storage: {size: 1Gi}, resources: {requests: {cpu: 100m, memory: 64Mi}}}
`

func recording(name string) string {
	return fmt.Sprintf("groups:\n- name: g\n  rules: [{record: %s, expr: vector(1)}]\n", name)
}

func scraping(more string) string {
	return "scrape_configs:\n- job_name: x\n  static_configs: [{targets: ['localhost:1']}]\n  " + more + "\n"
}

// kubeconfig writes a file with the credentials of an account.
func (v *delivery) kubeconfig(account string) string {
	v.t.Helper()
	rc := v.account(account)
	c := clientcmdapi.NewConfig()
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: rc.Host, CertificateAuthorityData: rc.CAData, CertificateAuthority: rc.CAFile}
	c.AuthInfos["a"] = &clientcmdapi.AuthInfo{Token: rc.BearerToken}
	c.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "a"}
	c.CurrentContext = "x"
	name := filepath.Join(v.t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*c, name); err != nil {
		v.t.Fatal(err)
	}
	return name
}

// startRoot installs a root, and returns its address.
func (v *delivery) startRoot() string {
	v.t.Helper()
	for _, name := range []string{"statefulset.yaml", "service.yaml"} {
		text, err := os.ReadFile(filepath.Join(manifests, "base/root", name))
		if err != nil {
			v.t.Fatal(err)
		}
		all := objects(v.t, text)
		for _, u := range all {
			u.SetNamespace(namespace)
		}
		v.apply(all)
	}
	return v.address("pando-root-0")
}

// webhookSecret is what webhooks of tests are signed with.
const webhookSecret = "a secret of webhooks"

func secretFile(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(webhookSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// webhook tells a loop of a push, as GitHub does.
func webhook(t testing.TB, loop string) {
	t.Helper()
	body := `{"ref":"refs/heads/main"}`
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	_, _ = io.WriteString(mac, body) // a hash takes everything
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+loop+gitops.Path+"/webhook", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatalf("webhook: %s %s, error %v", resp.Status, text, err)
	}
}

// loop runs pando gitops until the test ends; the function kills it.
func (v *delivery) loop(args ...string) (kill func()) {
	v.t.Helper()
	all := []string{
		"gitops", "--cluster=eu-1", "--deliver=kubernetes", "--kube.namespace=" + namespace, "--rollout.interval=1s",
		"--rollout.confirm-timeout=30s", "--git.allow-http",
	}
	for flag, value := range map[string]string{"web.listen-address": "127.0.0.1:0", "interval": "1s", "kube.lease": "3s"} {
		if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--"+flag+"=") }) {
			all = append(all, "--"+flag+"="+value)
		}
	}
	cmd := exec.Command(kubetest.Pando(v.t), append(all, args...)...)
	cmd.Stdout, cmd.Stderr = v.t.Output(), v.t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // killed is how it ends
		}
		killed = true
	}
	v.t.Cleanup(kill)
	return kill
}

// status waits until the status ConfigMap has these values.
func (v *delivery) status(want map[string]string) {
	v.t.Helper()
	await(v.t, fmt.Sprint("status ", want), func(ctx context.Context) error {
		cm, err := v.typed.CoreV1().ConfigMaps(namespace).Get(ctx, "pando-gitops-status", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for k, text := range want {
			if !strings.Contains(cm.Data[k], text) {
				return fmt.Errorf("%s is %q among %v", k, cm.Data[k], cm.Data)
			}
		}
		return nil
	})
}

// A webhook has the loop look at the repository, which it would else do in ten minutes;
// one that is not signed does not.
func TestWebhookBringsACommit(t *testing.T) {
	v := startDelivery(t, 35)
	root := v.startRoot()
	repo := gittest.New(t)
	first := repo.Commit("planet.yaml", planetOfOne, "prometheus.yml", "global: {scrape_interval: 1s, evaluation_interval: 1s}\n", "rules/leaf/rules.yml", recording("first"))
	const loop = "127.0.0.1:9095"
	v.loop("--git.url="+repo.URL, "--root.url=http://"+root, "--kube.config="+v.kubeconfig("pando-gitops"), "--state.path="+t.TempDir(), "--web.listen-address="+loop,
		"--interval=10m", "--webhook.secret-file="+secretFile(t))
	v.status(map[string]string{"applied": first})
	second := repo.Commit("rules/leaf/rules.yml", recording("second"))
	resp, err := http.Post("http://"+loop+gitops.Path+"/webhook", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a webhook that is not signed: %s", resp.Status)
	}
	v.status(map[string]string{"seen": first})
	webhook(t, loop)
	v.status(map[string]string{"seen": second, "applied": second})
	awaitAnswer(t, root, `second`, []string{"cluster"}, []string{"eu-1 1"})
}

// The whole way: a commit makes a leaf, another changes its rules without a
// restart, a third is refused by the leaf and given up, and the root answers at
// all times. The loop is killed, and another one takes over.
func TestGitopsKeepsALeaf(t *testing.T) {
	v := startDelivery(t, 34)
	root := v.startRoot()
	repo := gittest.New(t)
	first := repo.Commit("planet.yaml", planetOfOne, "prometheus.yml", "global: {scrape_interval: 1s, evaluation_interval: 1s}\n", "rules/leaf/rules.yml", recording("first"), "scrape/x.yml", scraping(""))
	flags := []string{"--git.url=" + repo.URL, "--root.url=http://" + root, "--kube.config=" + v.kubeconfig("pando-gitops")}
	kill := v.loop(append(flags, "--kube.identity=one", "--state.path="+t.TempDir())...)
	awaitAnswer(t, root, `first`, []string{"cluster"}, []string{"eu-1 1"})
	v.status(map[string]string{"applied": first, "seen": first, "state": ""})
	pod, err := v.pod(t.Context(), "pando-leaf-0")
	if err != nil {
		t.Fatal(err)
	}

	second, begun := repo.Commit("rules/leaf/rules.yml", recording("second")), time.Now()
	v.status(map[string]string{"applied": second})
	t.Logf("loaded, confirmed and told %v after the commit", time.Since(begun))
	awaitAnswer(t, root, `second`, []string{"cluster"}, []string{"eu-1 1"})

	// Valid to whoever has not the leaf's disk, and not to the leaf, once it scrapes
	// that job.
	awaitAnswer(t, root, `up{job="x"}`, []string{"cluster"}, []string{"eu-1 0"})
	refused := repo.Commit("scrape/x.yml", scraping("tls_config: {ca_file: /missing/token}"))
	v.status(map[string]string{"applied": second, "rejected": refused, "rejectedWhy": "pod pando-leaf-0"})
	awaitAnswer(t, root, `second`, []string{"cluster"}, []string{"eu-1 1"})

	kill()
	v.loop(append(flags, "--kube.identity=two", "--state.path="+t.TempDir())...)
	third := repo.Commit("rules/leaf/rules.yml", recording("third"), "scrape/x.yml", scraping(""))
	v.status(map[string]string{"applied": third})
	awaitAnswer(t, root, `third`, []string{"cluster"}, []string{"eu-1 1"})
	lease, err := v.typed.CoordinationV1().Leases(namespace).Get(t.Context(), "pando-gitops", metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity != "two" {
		t.Errorf("lease %v, error %v; want the second's", lease.Spec, err)
	}

	now, err := v.pod(t.Context(), "pando-leaf-0")
	if err != nil || now.UID != pod.UID || now.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("the leaf was replaced or restarted: %v", err)
	}
}
