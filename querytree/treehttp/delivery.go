package treehttp

import (
	"context"
	"net/http"
)

// ConfigList tells which configuration a tier has loaded, and which ones the
// clusters below it run, as their control loops tell.
type ConfigList struct {
	Name string `json:"name"`
	Tier string `json:"tier"`
	// Revision is that of the configuration in effect, as it was delivered; empty
	// if the tier has none.
	Revision string `json:"revision,omitempty"`
	// LoadedAt is when it was loaded, in Unix seconds.
	LoadedAt float64 `json:"loadedAt,omitempty"`
	// Refused: the last attempt to load a newer one failed.
	Refused bool `json:"refused,omitempty"`
	// Clusters are sorted by name.
	Clusters []ClusterConfig `json:"clusters"`
	// Rejected are sorted by revision and cluster.
	Rejected []RejectedConfig `json:"rejected"`
	// Paused are the clusters that ask all to pause.
	Paused []string `json:"paused"`
	// Warnings say what of the tree did not answer.
	Warnings []string `json:"warnings"`
}

// ClusterConfig is what one cluster runs.
type ClusterConfig struct {
	Cluster string `json:"cluster"`
	Zone    string `json:"zone,omitempty"`
	// Revision is a commit, Since when it was confirmed to run, in Unix seconds.
	Revision string  `json:"revision"`
	Wave     string  `json:"wave,omitempty"`
	Since    float64 `json:"since"`
}

// RejectedConfig is a revision that a cluster rejects.
type RejectedConfig struct {
	Revision string  `json:"revision"`
	Cluster  string  `json:"cluster"`
	Why      string  `json:"why"`
	Since    float64 `json:"since"`
}

// Delivery tells of configuration. It is safe for concurrent use.
type Delivery interface {
	// Config returns what is loaded here and below; Name and Tier are filled in by
	// the caller.
	Config(ctx context.Context) (ConfigList, error)
}

func (h *Handler) config(w http.ResponseWriter, r *http.Request) {
	if h.cfg.Delivery == nil {
		respondError(w, http.StatusNotFound, errNotFound, "this tier does not tell of its configuration")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.limits().Timeout)
	defer cancel()
	list, err := h.cfg.Delivery.Config(ctx)
	if err != nil {
		respondError(w, http.StatusServiceUnavailable, "unavailable", err.Error())
		return
	}
	d := h.cfg.Describe()
	list.Name, list.Tier = d.Name(), d.Tier
	writeJSON(w, http.StatusOK, list)
}
