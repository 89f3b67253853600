package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

// keys returns PEM blocks of an RSA key in both forms, and of another kind.
func keys(t *testing.T) (pkcs1, pkcs8, ec string) {
	t.Helper()
	encode := func(kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 = encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), nil)
	der, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	pkcs8 = encode("PRIVATE KEY", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(ecKey)
	return pkcs1, pkcs8, encode("PRIVATE KEY", der, err)
}

func TestJWTKey(t *testing.T) {
	t.Parallel()
	pkcs1, pkcs8, ec := keys(t)
	oneLine := strings.ReplaceAll(pkcs8, "\n", `\n`)
	for name, key := range map[string]string{"pkcs1": pkcs1, "pkcs8": pkcs8, "one line": oneLine, "one line and its end": oneLine + "\n"} {
		c := mustLoad(t, with("HC_SALESFORCE_USERNAME=me", "HC_SALESFORCE_JWT_KEY="+key), nil)
		if c.Salesforce.Auth != AuthJWT {
			t.Errorf("%s: auth %s, want jwt", name, c.Salesforce.Auth)
		}
		if block, _ := pem.Decode([]byte(c.Salesforce.JWTKey.Reveal())); block == nil {
			t.Errorf("%s: key does not decode", name)
		}
	}
	c := mustLoad(t, with("HC_SALESFORCE_USERNAME=me", "HC_SALESFORCE_JWT_KEY_FILE=/key"), map[string]string{"/key": pkcs1})
	if c.Salesforce.JWTKey.Reveal() != strings.TrimRight(pkcs1, "\n") {
		t.Error("the key is not the file's")
	}

	block := func(kind string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("x")}))
	}
	for _, bad := range []struct{ key, problem string }{
		{"hunter2", "HC_SALESFORCE_JWT_KEY: not a PEM block"},
		{ec, "not an RSA private key"},
		{block("CERTIFICATE"), "a certificate, not the private key"},
		{block("PUBLIC KEY"), "a public key, not the private key"},
		{block("ENCRYPTED PRIVATE KEY"), "the key is encrypted"},
		{block("PRIVATE KEY"), "not an RSA private key"},
	} {
		checkOneProblem(t, with("HC_SALESFORCE_USERNAME=me", "HC_SALESFORCE_JWT_KEY="+bad.key), bad.problem)
	}
	checkOneProblem(t, with("HC_SALESFORCE_USERNAME=me", "HC_SALESFORCE_JWT_KEY_FILE=/secret"), "HC_SALESFORCE_JWT_KEY_FILE: not a PEM block")
}

func TestAuthIsInferred(t *testing.T) {
	t.Parallel()
	_, key, _ := keys(t)
	cases := []struct {
		set  []string
		want Auth
	}{
		{nil, AuthClientCredentials},
		{[]string{"HC_SALESFORCE_CLIENT_SECRET=", "HC_SALESFORCE_CLIENT_SECRET_FILE=/s"}, AuthClientCredentials},
		{[]string{"HC_SALESFORCE_CLIENT_SECRET=", "HC_SALESFORCE_REFRESH_TOKEN=r"}, AuthRefreshToken},
		{[]string{"HC_SALESFORCE_REFRESH_TOKEN_FILE=/s"}, AuthRefreshToken},
		{[]string{"HC_SALESFORCE_USERNAME=me", "HC_SALESFORCE_PASSWORD=pw"}, AuthPassword},
		{[]string{"HC_SALESFORCE_USERNAME=me", "HC_SALESFORCE_JWT_KEY=" + key}, AuthJWT},
		{[]string{"HC_SALESFORCE_AUTH=jwt", "HC_SALESFORCE_USERNAME=me", "HC_SALESFORCE_JWT_KEY=" + key, "HC_SALESFORCE_PASSWORD=pw"}, AuthJWT},
	}
	for _, c := range cases {
		if got := mustLoad(t, with(c.set...), map[string]string{"/s": "s"}).Salesforce.Auth; got != c.want {
			t.Errorf("%v: %s, want %s", c.set, got, c.want)
		}
	}
	checkOneProblem(t, with("HC_SALESFORCE_USERNAME=me", "HC_SALESFORCE_PASSWORD=pw", "HC_SALESFORCE_REFRESH_TOKEN=r"),
		"HC_SALESFORCE_AUTH: HC_SALESFORCE_REFRESH_TOKEN, HC_SALESFORCE_PASSWORD are set, which allows more than one way")
}

func TestLoopbackLogin(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://localhost:8081", "http://127.0.0.1:1", "http://127.1.2.3", "http://[::1]:8081"} {
		if got := mustLoad(t, with("HC_SALESFORCE_LOGIN_URL="+url+"/"), nil).Salesforce.LoginURL; got != url {
			t.Errorf("login URL %s, want %s", got, url)
		}
	}
}
