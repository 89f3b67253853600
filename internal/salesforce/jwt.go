package salesforce

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// assertionLife is a minute less than the longest that Salesforce accepts, by its own
// clock: ours may be ahead by as much before it is corrected.
const assertionLife = 2 * time.Minute

// parseKey reads an RSA private key in PEM. Line breaks may be written as \n, as
// in a one-line environment variable. Its error never quotes the key.
func parseKey(pem string) (*rsa.PrivateKey, error) {
	if pem == "" {
		return nil, errors.New("jwt: private key not set")
	}
	if !strings.Contains(pem, "\n") {
		pem = strings.ReplaceAll(pem, `\n`, "\n")
	}
	key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(pem))
	if err != nil {
		return nil, errors.New("jwt: private key is not an RSA key in PEM (PKCS #1 or #8, without a passphrase)")
	}
	return key, nil
}

// assertion signs who we are, as of now.
//
// Salesforce Help, "OAuth 2.0 JWT Bearer Flow for Server-to-Server Integration".
func (c *Client) assertion(now time.Time) (string, error) {
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": c.cfg.ClientID,
		"sub": c.cfg.Username,
		"aud": c.audience,
		"exp": now.Add(assertionLife).Unix(),
	}).SignedString(c.jwtKey)
	if err != nil {
		return "", fmt.Errorf("assertion: %w", err)
	}
	return signed, nil
}
