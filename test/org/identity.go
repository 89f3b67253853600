package org

import (
	"net/http"
	"strings"
)

func (s *Server) identityURL(u *user) string {
	return s.instanceURL() + "/id/" + s.orgID + "/" + u.ID
}

// identity serves GET /id/ORG/USER, with the token in the header or in the
// oauth_token parameter.
func (s *Server) identity(r *http.Request, seg []string) answer {
	token := r.URL.Query().Get("oauth_token")
	if token == "" {
		token = bearer(r.Header)
	}
	sess := s.session(token)
	if sess == nil {
		// The identity service answers in plain text, unlike the rest.
		return answer{status: http.StatusForbidden, text: "Bad_OAuth_Token"}
	}
	if len(seg) != 3 || seg[1] != s.orgID || seg[2] != sess.user.ID {
		return answer{status: http.StatusForbidden, text: "Wrong_Org"}
	}
	base := s.instanceURL()
	u := sess.user
	return ok(object{
		{"id", s.identityURL(u)},
		{"asserted_user", true},
		{"user_id", u.ID},
		{"organization_id", s.orgID},
		{"username", u.Username},
		{"nick_name", strings.SplitN(u.Username, "@", 2)[0]},
		{"display_name", u.Name},
		{"email", u.Email},
		{"user_type", "STANDARD"},
		{"active", true},
		{"language", "en_US"},
		{"locale", "en_US"},
		{"utcOffset", 0},
		{"urls", s.userURLs(base, u)},
	})
}

// userURLs lists the APIs of the org; {version} is for the client to fill in.
func (s *Server) userURLs(base string, u *user) object {
	org15 := s.orgID[:15]
	return object{
		{"enterprise", base + "/services/Soap/c/{version}/" + org15},
		{"metadata", base + "/services/Soap/m/{version}/" + org15},
		{"partner", base + "/services/Soap/u/{version}/" + org15},
		{"rest", base + "/services/data/v{version}/"},
		{"sobjects", base + "/services/data/v{version}/sobjects/"},
		{"search", base + "/services/data/v{version}/search/"},
		{"query", base + "/services/data/v{version}/query/"},
		{"recent", base + "/services/data/v{version}/recent/"},
		{"profile", base + "/" + u.ID},
	}
}

// userinfo serves GET /services/oauth2/userinfo.
func (s *Server) userinfo(r *http.Request) answer {
	sess := s.session(bearer(r.Header))
	if sess == nil {
		return answer{status: http.StatusForbidden, text: "Bad_OAuth_Token"}
	}
	u := sess.user
	return ok(object{
		{"sub", s.identityURL(u)},
		{"user_id", u.ID},
		{"organization_id", s.orgID},
		{"preferred_username", u.Username},
		{"nickname", strings.SplitN(u.Username, "@", 2)[0]},
		{"name", u.Name},
		{"email", u.Email},
		{"email_verified", true},
		{"zoneinfo", "GMT"},
		{"active", true},
		{"user_type", "STANDARD"},
		{"language", "en_US"},
		{"locale", "en_US"},
		{"utcOffset", 0},
		{"urls", s.userURLs(s.instanceURL(), u)},
	})
}
