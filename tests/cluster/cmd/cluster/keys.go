package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// keys are the secrets of one cluster, as PEM; nothing of them outlives the state folder.
type keys struct {
	authority   []byte            // certificate that signs the serving one
	certificate []byte            // serving certificate of the API server
	serving     []byte            // its key
	tokens      []byte            // key that signs ServiceAccount tokens
	users       map[string]string // bearer token by user name
}

func newKeys(users []string) (keys, error) {
	k := keys{users: map[string]string{}}
	for _, user := range users {
		k.users[user] = rand.Text()
	}
	var err error
	if _, k.tokens, err = newKey(); err != nil {
		return k, err
	}

	authority := template(1, "marmot test authority")
	authority.IsCA, authority.BasicConstraintsValid = true, true
	authority.KeyUsage = x509.KeyUsageCertSign
	authorityKey, _, err := newKey()
	if err != nil {
		return k, err
	}
	if k.authority, err = sign(authority, authority, authorityKey, authorityKey); err != nil {
		return k, err
	}

	serving := template(2, "kube-apiserver")
	serving.KeyUsage = x509.KeyUsageDigitalSignature
	serving.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	serving.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)}
	serving.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	servingKey, text, err := newKey()
	if err != nil {
		return k, err
	}
	k.serving = text
	k.certificate, err = sign(serving, authority, servingKey, authorityKey)
	return k, err
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	text, err := x509.MarshalECPrivateKey(key)
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text}), err
}

// template is valid from an hour ago, for a clock that runs ahead of another, to a year from now.
func template(serial int64, name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
	}
}

func sign(certificate, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) ([]byte, error) {
	text, err := x509.CreateCertificate(rand.Reader, certificate, parent, &key.PublicKey, parentKey)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: text}), err
}

// userFile is kube-apiserver's --token-auth-file: token, name, uid, groups.
func (k keys) userFile() []byte {
	var text []byte
	for name, token := range k.users {
		text = fmt.Appendf(text, "%s,%s,%s,system:masters\n", token, name, name)
	}
	return text
}

func kubeconfig(server string, authority []byte, user, token string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: test
contexts:
- name: test
  context: { cluster: test, user: %[3]s }
clusters:
- name: test
  cluster: { server: %[1]q, certificate-authority-data: %[2]s }
users:
- name: %[3]s
  user: { token: %[4]s }
`, server, base64.StdEncoding.EncodeToString(authority), user, token)
}
