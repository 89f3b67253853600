package org

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// maxAssertion is how far ahead exp may lie. (Salesforce Help, "OAuth 2.0 JWT
// Bearer Flow": 3 minutes today, 5 in older text; the wider one is taken.)
const maxAssertion = 5 * time.Minute

// checkAssertion verifies a JWT bearer assertion: RS256 by the configured key,
// iss the consumer key, sub the user name, aud a login host or this org, exp
// ahead but not far. A jti works once.
func (s *Server) checkAssertion(assertion string) *oauthError {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 || s.opt.JWTKey == nil {
		return errAssert
	}
	var raw [3][]byte
	for i, part := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			return errAssert
		}
	}
	var header struct {
		Alg string `json:"alg"`
	}
	if json.Unmarshal(raw[0], &header) != nil || header.Alg != "RS256" {
		return errAssert
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(s.opt.JWTKey, crypto.SHA256, sum[:], raw[2]) != nil {
		return errAssert
	}
	var claims struct {
		Iss, Sub, Jti string
		Aud           audience
		Exp           json.Number
	}
	if json.Unmarshal(raw[1], &claims) != nil {
		return errAssert
	}
	seconds, err := claims.Exp.Float64()
	if err != nil {
		return errAssert
	}
	now, exp := s.opt.Now(), time.UnixMilli(int64(seconds*1000))
	switch {
	case claims.Iss != s.opt.ClientID:
		return errClientID
	case !s.audience(claims.Aud):
		return errAudience
	case !exp.After(now), exp.After(now.Add(maxAssertion)):
		return errLate
	case claims.Sub != s.opt.Username:
		return errApproval
	}
	return s.once(claims.Jti, exp)
}

// once records a jti until it expires and refuses one that was seen.
func (s *Server) once(jti string, exp time.Time) *oauthError {
	if jti == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, at := range s.assertions {
		if !at.After(s.opt.Now()) {
			delete(s.assertions, id)
		}
	}
	if _, seen := s.assertions[jti]; seen {
		return errAssert
	}
	s.assertions[jti] = exp
	return nil
}

func (s *Server) audience(aud audience) bool {
	for _, a := range aud {
		a = strings.TrimRight(a, "/")
		switch a {
		case "https://login.salesforce.com", "https://test.salesforce.com", s.URL(), s.instanceURL():
			return true
		}
		// A client may know this loopback server by another name.
		for _, u := range s.urls() {
			if strings.TrimRight(u, "/") == a {
				return true
			}
		}
	}
	return false
}

// audience is a claim that may be a string or an array of them.
type audience []string

// UnmarshalJSON accepts both forms.
func (a *audience) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		return json.Unmarshal(text, (*[]string)(a))
	}
	*a = audience{""}
	return json.Unmarshal(text, &(*a)[0])
}
