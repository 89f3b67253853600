package salesforce

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// authority signs certificates of servers on this machine.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

func (a *authority) sign(want *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = want, key
	}
	der, err := x509.CreateCertificate(rand.Reader, want, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// Who is not certainly who the address says gets neither credentials nor a token,
// nor does who speaks an old TLS (T6 of docs/threat-model.md).
func TestServersThatCannotProveWhoTheyAre(t *testing.T) {
	t.Parallel()
	good := x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	ours, theirs := newAuthority(t), newAuthority(t)
	for name, c := range map[string]struct {
		by     *authority
		change func(*x509.Certificate)
		max    uint16
		want   string
	}{
		"good":          {ours, func(*x509.Certificate) {}, 0, ""},
		"self-signed":   {theirs, func(*x509.Certificate) {}, 0, "certificate"},
		"expired":       {ours, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, 0, "expired"},
		"not yet valid": {ours, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) }, 0, "not yet valid"},
		"wrong name": {ours, func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames = nil, []string{"acme.my.salesforce.com"}
		}, 0, "127.0.0.1"},
		"TLS 1.1": {ours, func(*x509.Certificate) {}, tls.VersionTLS11, "protocol version"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := good
			c.change(&want)
			cert, key := c.by.sign(&want)
			asked := false
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = true
				writeGrant(w, "https://"+r.Host, canaryToken)
			}))
			s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS10, MaxVersion: c.max}
			s.Config.ErrorLog = nil
			s.StartTLS()
			t.Cleanup(s.Close)
			trust := x509.NewCertPool()
			trust.AddCert(ours.cert)
			client := newClient(t, s.URL, func(cfg *Config) {
				transport := http.DefaultTransport.(*http.Transport).Clone()
				transport.TLSClientConfig = &tls.Config{RootCAs: trust}
				cfg.HTTPClient = &http.Client{Transport: transport}
			})
			_, err := client.Login(t.Context())
			if c.want == "" {
				if err != nil || !asked {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil || asked || !strings.Contains(err.Error(), c.want) {
				t.Errorf("asked %t, %v; want an error with %q", asked, err, c.want)
			}
		})
	}
}
