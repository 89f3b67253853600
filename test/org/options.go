package org

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/test/org/sobject"
)

// What an org answers to when [Options] names nothing else.
const (
	DefaultUsername     = "integration@hc.example"
	DefaultPassword     = "correct-horse"
	DefaultClientID     = "3MVG9.hcbridge.demo"
	DefaultClientSecret = "0123456789ABCDEF"
	DefaultRefreshToken = "5Aep861.demo.refresh"
	// DefaultOther is the person who edits records in Salesforce, the one
	// behind [Server.Insert] and its sisters.
	DefaultOther = "admin@hc.example"
)

// The API versions this org serves: older ones answer 410, newer ones 404.
const (
	OldestVersion = 31
	NewestVersion = 67
)

// Options describes an org. The zero value is a Developer Edition org with the
// standard objects, an integration user and a connected app under the Default
// names, real time, and the documented limits.
type Options struct {
	// Now is the org's clock; it decides stamps, token life and event times.
	// Default [time.Now].
	Now func() time.Time
	// Log gets one debug line per request. Default: nothing.
	Log zerolog.Logger
	// Objects is the org's schema. Default [sobject.Standard].
	Objects []*sobject.Object

	// Username, Password and SecurityToken are the integration user's; a login
	// sends the password with the token appended. An empty token is none, as
	// from a trusted network.
	Username, Password, SecurityToken string
	// ClientID and ClientSecret are the connected app's.
	ClientID, ClientSecret string
	// RefreshToken is one that the app already holds.
	RefreshToken string
	// RotateRefreshTokens answers each refresh with a new refresh token, and the one
	// that was sent is no good any more.
	RotateRefreshTokens bool
	// JWTKey is the key of the certificate uploaded to the connected app, see
	// [ParseKey]. Nil refuses every assertion.
	JWTKey *rsa.PublicKey
	// InstanceURL is the instance_url of token answers. Default [Server.URL].
	InstanceURL string
	// SessionTimeout is how long a token lives without a call. Default 2 h.
	SessionTimeout time.Duration

	// DailyLimit is the number of API calls in 24 h. Default 15,000, which is
	// Developer Edition's.
	DailyLimit int
	// TopicLimit is the number of active PushTopics. Default 40.
	TopicLimit int
	// ReplicationLag is how far latestDateCovered of getUpdated and getDeleted
	// stays behind the clock. Default 0.
	ReplicationLag time.Duration
	// PageSize caps the rows of a query answer below the 2,000 that the
	// documents allow; they permit any shorter page. Default 2,000.
	PageSize int

	// PollTimeout is how long an idle /meta/connect is held. Default 110 s.
	PollTimeout time.Duration
	// PollGrace is how long a streaming session outlives its last answer.
	// Default 40 s.
	PollGrace time.Duration
	// StreamClients is the number of streaming sessions the org allows.
	// Default 20.
	StreamClients int
	// StreamEvents is the number of events delivered in 24 h; 0 is unlimited.
	StreamEvents int
	// NotifyNoOp makes an update that changes nothing notify topics with
	// NotifyForFields All; whether it does is not documented.
	NotifyNoOp bool
	// DeafReplay accepts a subscription from a replay id that is not valid, and sends
	// no event to it, instead of refusing it: one client has seen such silence.
	DeafReplay bool
	// Seed decides what is left to chance, such as gaps in replay ids.
	// Default 1.
	Seed uint64
}

func (o Options) withDefaults() Options {
	set := func(to *string, def string) {
		if *to == "" {
			*to = def
		}
	}
	set(&o.Username, DefaultUsername)
	set(&o.Password, DefaultPassword)
	set(&o.ClientID, DefaultClientID)
	set(&o.ClientSecret, DefaultClientSecret)
	set(&o.RefreshToken, DefaultRefreshToken)
	number := func(to *int, def int) {
		if *to <= 0 {
			*to = def
		}
	}
	number(&o.DailyLimit, 15000)
	number(&o.TopicLimit, 40)
	number(&o.PageSize, maxPage)
	number(&o.StreamClients, 20)
	span := func(to *time.Duration, def time.Duration) {
		if *to <= 0 {
			*to = def
		}
	}
	span(&o.SessionTimeout, 2*time.Hour)
	span(&o.PollTimeout, 110*time.Second)
	span(&o.PollGrace, 40*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Objects == nil {
		o.Objects = sobject.Standard()
	}
	return o
}

// ParseKey reads the RSA public key of a PEM block that holds a certificate, a
// public key, or a private key.
func ParseKey(text []byte) (*rsa.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("key holds no PEM block")
	}
	var (
		key any
		err error
	)
	switch block.Type {
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = cert.PublicKey
		}
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("key is a PEM block of type %q", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", block.Type, err)
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		return key, nil
	case *rsa.PrivateKey:
		return &key.PublicKey, nil
	}
	return nil, fmt.Errorf("key is %T, want RSA", key)
}
