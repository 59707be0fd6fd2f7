package demo

import (
	"strings"

	dto "github.com/prometheus/client_model/go"
)

const (
	// kubeSeries is what gatherKube and gatherContainers expose of each pod,
	// deploymentSeries what they expose of each service.
	kubeSeries       = 16
	deploymentSeries = 2
)

var (
	kubePodInfo      = metric{"kube_pod_info", "What is known of a pod; always 1."}
	kubePodPhase     = metric{"kube_pod_status_phase", "Whether the pod is in the phase."}
	kubePodReady     = metric{"kube_pod_status_ready", "Whether the pod is ready."}
	kubePodStart     = metric{"kube_pod_created", "Creation time since the epoch."}
	kubePodRestarts  = metric{"kube_pod_container_status_restarts_total", "Restarts of the container."}
	kubePodLimits    = metric{"kube_pod_container_resource_limits", "Limit of a resource for the container."}
	kubeReplicas     = metric{"kube_deployment_spec_replicas", "Pods wanted."}
	kubeAvailable    = metric{"kube_deployment_status_replicas_available", "Pods available."}
	containerCPU     = metric{"container_cpu_usage_seconds_total", "CPU time of the container."}
	containerMemory  = metric{"container_memory_working_set_bytes", "Memory of the container that cannot be reclaimed."}
	containerRSS     = metric{"container_memory_rss", "Anonymous memory of the container, in bytes."}
	containerReceive = metric{"container_network_receive_bytes_total", "Bytes received by the pod."}
	containerSend    = metric{"container_network_transmit_bytes_total", "Bytes sent by the pod."}
)

// gatherKube returns what kube-state-metrics would expose of the cluster.
func (c *Cluster) gatherKube() []*dto.MetricFamily {
	ids := c.identities()
	var f families
	for _, id := range ids {
		f.gauge(kubePodInfo, 1, pairs("namespace", id.namespace, "pod", id.pod, "uid", id.uid, "node", id.node, "pod_ip", id.ip,
			"created_by_kind", "ReplicaSet", "created_by_name", id.pod[:strings.LastIndexByte(id.pod, '-')]))
	}
	for _, id := range ids {
		for _, phase := range []string{"Pending", "Running", "Succeeded", "Failed", "Unknown"} {
			f.gauge(kubePodPhase, isTrue(phase == "Running"), pairs("namespace", id.namespace, "pod", id.pod, "phase", phase))
		}
	}
	for _, id := range ids {
		f.gauge(kubePodReady, 1, pairs("namespace", id.namespace, "pod", id.pod, "condition", "true"))
	}
	for _, id := range ids {
		f.gauge(kubePodStart, float64(id.created.Unix()), pairs("namespace", id.namespace, "pod", id.pod))
	}
	for _, id := range ids {
		f.counter(kubePodRestarts, float64(id.restarts), id.created, pairs("namespace", id.namespace, "pod", id.pod, "container", id.service))
	}
	for _, id := range ids {
		f.gauge(kubePodLimits, 1, pairs("namespace", id.namespace, "pod", id.pod, "container", id.service, "resource", "cpu", "unit", "core"))
		f.gauge(kubePodLimits, 8<<30, pairs("namespace", id.namespace, "pod", id.pod, "container", id.service, "resource", "memory", "unit", "byte"))
	}
	c.gatherDeployments(&f, ids)
	return f.sorted()
}

func (c *Cluster) gatherDeployments(f *families, ids []identity) {
	counts := map[string]int{}
	for _, id := range ids {
		counts[id.service]++
	}
	for _, m := range []metric{kubeReplicas, kubeAvailable} {
		f.gauge(m, 1, pairs("namespace", c.checkout.namespace, "deployment", checkoutName))
		for _, s := range c.specs {
			f.gauge(m, float64(counts[s.name]), pairs("namespace", s.namespace, "deployment", s.name))
		}
	}
}

// gatherContainers returns what a kubelet's cAdvisor would expose of the
// simulated pods. Checkout is not among them: it shares a process with all else.
func (c *Cluster) gatherContainers() []*dto.MetricFamily {
	c.mu.RLock()
	defer c.mu.RUnlock()
	container := func(p *pod) []*dto.LabelPair {
		return pairs("namespace", p.namespace, "pod", p.pod, "container", p.service, "node", p.node)
	}
	network := func(p *pod) []*dto.LabelPair {
		return pairs("namespace", p.namespace, "pod", p.pod, "interface", "eth0", "node", p.node)
	}
	var f families
	for _, p := range c.pods {
		f.counter(containerCPU, p.cpu, p.started, container(p))
	}
	for _, p := range c.pods {
		f.gauge(containerMemory, float64(int64(p.memory)), container(p))
	}
	for _, p := range c.pods {
		f.gauge(containerRSS, float64(int64(p.memory*0.9)), container(p))
	}
	for _, p := range c.pods {
		f.counter(containerReceive, p.rx, p.created, network(p))
	}
	for _, p := range c.pods {
		f.counter(containerSend, p.tx, p.created, network(p))
	}
	return f.sorted()
}

func isTrue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
