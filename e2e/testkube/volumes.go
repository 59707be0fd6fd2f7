package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// volumes lays out the pod's volumes, and brings those that follow objects of
// the API up to date.
func (w *podWorker) volumes(ctx context.Context) error {
	if err := os.MkdirAll(w.home, 0o755); err != nil {
		return err
	}
	for _, v := range w.pod.Spec.Volumes {
		var files map[string][]byte
		var err error
		switch {
		case v.EmptyDir != nil:
			err = w.folder(w.volume(v.Name), 0o777)
		case v.PersistentVolumeClaim != nil:
			err = w.claimed(ctx, v)
		case v.ConfigMap != nil:
			files, err = w.configMap(ctx, v.ConfigMap.Name, v.ConfigMap.Items, v.ConfigMap.Optional)
		case v.Secret != nil:
			files, err = w.secret(ctx, v.Secret.SecretName, v.Secret.Items, v.Secret.Optional)
		case v.Projected != nil:
			files, err = w.projected(ctx, v)
		default:
			err = errors.New("the stand-in kubelet knows emptyDir, persistentVolumeClaim, configMap, secret and projected only")
		}
		if err == nil && files != nil {
			err = publish(w.volume(v.Name), files)
		}
		if err != nil {
			return fmt.Errorf("volume %s: %w", v.Name, err)
		}
	}
	return nil
}

func (w *podWorker) volume(name string) string { return filepath.Join(w.home, "volumes", name) }

func (w *podWorker) folder(path string, mode fs.FileMode) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	if s := w.pod.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		_ = os.Chown(path, 0, int(*s.FSGroup)) // not possible, nor needed, in a user namespace
	}
	return os.Chmod(path, mode|fs.ModeSetgid)
}

// claimed makes the volume of a claim, which is kept by the claim's UID: one
// that was deleted and made anew is empty.
func (w *podWorker) claimed(ctx context.Context, v corev1.Volume) error {
	c, err := w.k.cs.CoreV1().PersistentVolumeClaims(w.pod.Namespace).Get(ctx, v.PersistentVolumeClaim.ClaimName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	kept := filepath.Join(w.k.dir, "claims", string(c.UID))
	if err := w.folder(kept, 0o770); err != nil {
		return err
	}
	to := w.volume(v.Name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if at, err := os.Readlink(to); err == nil && at == kept {
		return nil
	}
	return os.Symlink(kept, to)
}

// claim stands in for what provides volumes: claims are bound, and go when they
// are deleted.
func (k *kubelet) claim(ctx context.Context, c *corev1.PersistentVolumeClaim) {
	claims := k.cs.CoreV1().PersistentVolumeClaims(c.Namespace)
	var err error
	switch {
	case c.DeletionTimestamp != nil && len(c.Finalizers) > 0:
		_, err = claims.Patch(ctx, c.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	case c.DeletionTimestamp == nil && c.Status.Phase != corev1.ClaimBound:
		patch, merr := json.Marshal(map[string]any{"status": corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, AccessModes: c.Spec.AccessModes, Capacity: c.Spec.Resources.Requests}})
		if merr != nil {
			err = merr
			break
		}
		_, err = claims.Patch(ctx, c.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	}
	if err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) {
		log.Printf("claim %s/%s: %v", c.Namespace, c.Name, err)
	}
}

func (w *podWorker) configMap(ctx context.Context, name string, items []corev1.KeyToPath, optional *bool) (map[string][]byte, error) {
	m, err := w.k.cs.CoreV1().ConfigMaps(w.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && optional != nil && *optional {
		return map[string][]byte{}, nil
	}
	if err != nil {
		return nil, err
	}
	all := maps.Clone(m.BinaryData)
	if all == nil {
		all = map[string][]byte{}
	}
	for k, v := range m.Data {
		all[k] = []byte(v)
	}
	return pick(all, items)
}

func (w *podWorker) secret(ctx context.Context, name string, items []corev1.KeyToPath, optional *bool) (map[string][]byte, error) {
	s, err := w.k.cs.CoreV1().Secrets(w.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && optional != nil && *optional {
		return map[string][]byte{}, nil
	}
	if err != nil {
		return nil, err
	}
	all := s.Data
	if all == nil {
		all = map[string][]byte{}
	}
	return pick(all, items)
}

// pick applies the items of a volume's source.
func pick(all map[string][]byte, items []corev1.KeyToPath) (map[string][]byte, error) {
	if len(items) == 0 {
		return all, nil
	}
	out := map[string][]byte{}
	for _, i := range items {
		v, ok := all[i.Key]
		if !ok {
			return nil, fmt.Errorf("no key %q", i.Key)
		}
		out[i.Path] = v
	}
	return out, nil
}

func (w *podWorker) projected(ctx context.Context, v corev1.Volume) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, s := range v.Projected.Sources {
		var files map[string][]byte
		var err error
		switch {
		case s.ConfigMap != nil:
			files, err = w.configMap(ctx, s.ConfigMap.Name, s.ConfigMap.Items, s.ConfigMap.Optional)
		case s.Secret != nil:
			files, err = w.secret(ctx, s.Secret.Name, s.Secret.Items, s.Secret.Optional)
		case s.ServiceAccountToken != nil:
			files, err = w.token(ctx, v.Name, s.ServiceAccountToken)
		case s.DownwardAPI != nil:
			files = map[string][]byte{}
			for _, f := range s.DownwardAPI.Items {
				files[f.Path] = []byte(w.field(f.FieldRef.FieldPath))
			}
		}
		if err != nil {
			return nil, err
		}
		maps.Copy(out, files)
	}
	return out, nil
}

// token asks for a token of the pod's service account, once for its life.
func (w *podWorker) token(ctx context.Context, volume string, p *corev1.ServiceAccountTokenProjection) (map[string][]byte, error) {
	if b, err := os.ReadFile(filepath.Join(w.volume(volume), p.Path)); err == nil {
		return map[string][]byte{p.Path: b}, nil
	}
	req := &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{ExpirationSeconds: p.ExpirationSeconds}}
	if p.Audience != "" {
		req.Spec.Audiences = []string{p.Audience}
	}
	t, err := w.k.cs.CoreV1().ServiceAccounts(w.pod.Namespace).CreateToken(ctx, w.pod.Spec.ServiceAccountName, req, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return map[string][]byte{p.Path: []byte(t.Status.Token)}, nil
}

// publish makes a folder hold these files, all at once as a kubelet does it:
// each name leads through one link, which is replaced.
func publish(dir string, files map[string][]byte) error {
	if same(dir, files) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	stamp := fmt.Sprintf("..%d", time.Now().UnixNano())
	for name, b := range files {
		path := filepath.Join(dir, stamp, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, stamp), 0o755); err != nil {
		return err
	}
	old, _ := os.Readlink(filepath.Join(dir, "..data"))
	tmp := filepath.Join(dir, "..data_tmp")
	if err := os.Symlink(stamp, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, "..data")); err != nil {
		return err
	}
	if err := links(dir, files); err != nil {
		return err
	}
	if old != "" {
		return os.RemoveAll(filepath.Join(dir, old))
	}
	return nil
}

// links makes the visible names those of the first elements of files' paths.
func links(dir string, files map[string][]byte) error {
	want := map[string]bool{}
	for name := range files {
		first, _, _ := strings.Cut(name, "/")
		want[first] = true
	}
	have, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range have {
		if !strings.HasPrefix(e.Name(), "..") && !want[e.Name()] {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

func same(dir string, files map[string][]byte) bool {
	n := 0
	err := filepath.WalkDir(filepath.Join(dir, "..data")+"/", func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil || n != len(files) {
		return false
	}
	for name, b := range files {
		have, err := os.ReadFile(filepath.Join(dir, "..data", name))
		if err != nil || !bytes.Equal(have, b) {
			return false
		}
	}
	return true
}

// mounts fills in where a container sees which volume.
func (w *podWorker) mounts(c corev1.Container, spec *confinement) error {
	for _, m := range c.VolumeMounts {
		from := filepath.Join(w.volume(m.Name), m.SubPath)
		to := filepath.Join(spec.Root, m.MountPath)
		if spec.Root == "" {
			return fmt.Errorf("container %s: one that runs on this machine's files has no mounts", c.Name)
		}
		info, err := os.Stat(from)
		if err != nil {
			return err
		}
		if info.IsDir() {
			err = os.MkdirAll(to, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
			err = os.WriteFile(to, nil, 0o644)
		}
		if err != nil {
			return err
		}
		if from, err = filepath.EvalSymlinks(from); err != nil {
			return err
		}
		spec.Mounts = append(spec.Mounts, mount{Source: from, Target: m.MountPath, ReadOnly: m.ReadOnly})
	}
	return nil
}
