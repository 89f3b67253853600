package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"hcbridge/test/org"
)

// flows are the OAuth flows a bridge may use.
var flows = []string{"client_credentials", "jwt", "password", "refresh_token"}

// printEnvironment writes what a bridge needs to know to talk to the org, as
// lines for a shell.
func printEnvironment(w io.Writer, f flags, base string) error {
	o := f.options
	set := [][2]string{
		{"HC_SALESFORCE_LOGIN_URL", base},
		{"HC_SALESFORCE_AUTH", f.auth},
		{"HC_SALESFORCE_CLIENT_ID", o.ClientID},
	}
	switch f.auth {
	case "client_credentials":
		set = append(set, [2]string{"HC_SALESFORCE_CLIENT_SECRET", o.ClientSecret})
	case "password":
		set = append(set, [2]string{"HC_SALESFORCE_CLIENT_SECRET", o.ClientSecret},
			[2]string{"HC_SALESFORCE_USERNAME", o.Username}, [2]string{"HC_SALESFORCE_PASSWORD", o.Password + o.SecurityToken})
	case "refresh_token":
		set = append(set, [2]string{"HC_SALESFORCE_CLIENT_SECRET", o.ClientSecret}, [2]string{"HC_SALESFORCE_REFRESH_TOKEN", o.RefreshToken})
	case "jwt":
		path, err := filepath.Abs(f.jwtKey)
		if err != nil {
			return err
		}
		set = append(set, [2]string{"HC_SALESFORCE_USERNAME", o.Username}, [2]string{"HC_SALESFORCE_JWT_KEY_FILE", path})
	}
	set = append(set, [2]string{"HC_OBJECTS", "Account,Contact"})
	var b strings.Builder
	b.WriteString("# the environment of a bridge to this org\n")
	for _, v := range set {
		fmt.Fprintf(&b, "export %s=%s\n", v[0], quote(v[1]))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// quote makes one word of text for a POSIX shell.
func quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// loadKey returns the public half of the key in a file, which it makes, private
// key and all, if there is no such file.
func loadKey(path string) (*rsa.PublicKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = makeKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	key, err := org.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return key, nil
}

func makeKey(path string) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return text, os.WriteFile(path, text, 0o600)
}
