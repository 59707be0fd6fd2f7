package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pandometrics/pando/gitops"
)

// ErrNothingDelivered says that no revision was delivered yet, or none that has
// anything for this tier.
var ErrNothingDelivered = errors.New("no revision has been delivered yet")

// Puller fetches one folder of what a Deliverer delivered. It only reads, and
// only ConfigMaps. It is safe for concurrent use.
type Puller struct {
	cfg    Config
	folder string
	client kubernetes.Interface
}

// NewPuller does not yet talk to the API server. The folder is leaf, root or
// zone/NAME.
func NewPuller(rc *rest.Config, cfg Config, folder string) (*Puller, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if folder == "" {
		return nil, errors.New("fetching configuration needs the name of a folder: leaf, root or zone/NAME")
	}
	rc = rest.CopyConfig(rc)
	rc.Timeout, rc.QPS, rc.Burst, rc.UserAgent = cfg.Timeout, cfg.QPS, cfg.Burst, "pando-"+word(folder)
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	return &Puller{cfg: cfg, folder: folder, client: client}, nil
}

// Pull returns the folder of the revision in effect, after checking it against
// its hash. The error is ErrNothingDelivered, or what is wrong, which may pass.
func (p *Puller) Pull(ctx context.Context) (*gitops.Bundle, error) {
	to, err := p.pointer(ctx)
	if err != nil {
		return nil, err
	}
	f, ok := to.Folders[p.folder]
	if !ok {
		return nil, &notSaidError{commit: to.Commit, folder: p.folder}
	}
	if len(f.Parts) > maxParts {
		return nil, fmt.Errorf("fetch configuration: %d parts are more than the %d that are allowed", len(f.Parts), maxParts)
	}
	parts := make([]part, len(f.Parts))
	for i, name := range f.Parts {
		cm, err := p.client.CoreV1().ConfigMaps(p.cfg.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("fetch configuration: %w", err)
		}
		parts[i] = part{text: cm.Data, binary: cm.BinaryData}
	}
	files, err := unpack(f.Content, parts)
	if err != nil {
		return nil, fmt.Errorf("fetch configuration: %w", err)
	}
	b := &gitops.Bundle{Revision: to.Commit, Hash: to.Revision, Files: make(map[string][]byte, len(files))}
	for name, data := range files {
		b.Files[path.Join(p.folder, name)] = data
	}
	return b, b.Validate()
}

func (p *Puller) pointer(ctx context.Context) (*pointer, error) {
	cm, err := p.client.CoreV1().ConfigMaps(p.cfg.Namespace).Get(ctx, p.cfg.pointer(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, ErrNothingDelivered
	}
	if err != nil {
		return nil, fmt.Errorf("fetch configuration: %w", err)
	}
	var to pointer
	if err := json.Unmarshal([]byte(cm.Data[pointerKey]), &to); err != nil {
		return nil, fmt.Errorf("fetch configuration: ConfigMap %s is damaged: %w", p.cfg.pointer(), err)
	}
	if to.Version != pointerVersion {
		return nil, fmt.Errorf("fetch configuration: ConfigMap %s has version %d, this program knows %d", p.cfg.pointer(), to.Version, pointerVersion)
	}
	return &to, nil
}
