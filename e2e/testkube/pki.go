package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

type pkiFiles struct{ ca, serverCert, serverKey, saKey, kubeconfig string }

func writePKI(dir string, port int) (*pkiFiles, error) {
	j := func(n string) string { return filepath.Join(dir, n) }
	p := &pkiFiles{ca: j("ca.crt"), serverCert: j("apiserver.crt"), serverKey: j("apiserver.key"), saKey: j("sa.key"), kubeconfig: j("kubeconfig")}
	if _, err := os.Stat(p.kubeconfig); err == nil { // a restart keeps keys and port
		return p, nil
	}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	}
	keyPEM := func(k *ecdsa.PrivateKey) []byte {
		b, err := x509.MarshalECPrivateKey(k)
		if err != nil {
			panic(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: b})
	}
	serial := int64(0)
	sign := func(t, parent *x509.Certificate, pub crypto.PublicKey, by *ecdsa.PrivateKey) (*x509.Certificate, []byte) {
		serial++
		t.SerialNumber = big.NewInt(serial)
		t.NotBefore, t.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(240*time.Hour)
		if parent == nil {
			parent = t
		}
		der, err := x509.CreateCertificate(rand.Reader, t, parent, pub, by)
		if err != nil {
			panic(err)
		}
		c, _ := x509.ParseCertificate(der)
		return c, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	caKey := key()
	caCert, caPEM := sign(&x509.Certificate{Subject: pkix.Name{CommonName: "testkube-ca"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}, nil, &caKey.PublicKey, caKey)
	srvKey := key()
	_, srvPEM := sign(&x509.Certificate{Subject: pkix.Name{CommonName: "kube-apiserver"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)}}, caCert, &srvKey.PublicKey, caKey)
	admKey := key()
	_, admPEM := sign(&x509.Certificate{Subject: pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, caCert, &admKey.PublicKey, caKey)
	for f, b := range map[string][]byte{p.ca: caPEM, p.serverCert: srvPEM, p.serverKey: keyPEM(srvKey), p.saKey: keyPEM(key())} {
		if err := os.WriteFile(f, b, 0o600); err != nil {
			return nil, err
		}
	}
	kc := clientcmdapi.NewConfig()
	kc.Clusters["test"] = &clientcmdapi.Cluster{Server: fmt.Sprintf("https://127.0.0.1:%d", port), CertificateAuthorityData: caPEM}
	kc.AuthInfos["admin"] = &clientcmdapi.AuthInfo{ClientCertificateData: admPEM, ClientKeyData: keyPEM(admKey)}
	kc.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "admin"}
	kc.CurrentContext = "test"
	return p, clientcmd.WriteToFile(*kc, p.kubeconfig)
}
