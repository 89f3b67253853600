package org

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// envelope is what this org understands of a SOAP request: login and logout of
// the Partner API, which is how older clients get a token.
type envelope struct {
	Header struct {
		SessionHeader struct {
			SessionID string `xml:"sessionId"`
		} `xml:"SessionHeader"`
	} `xml:"Header"`
	Body struct {
		Login *struct {
			Username string `xml:"username"`
			Password string `xml:"password"`
		} `xml:"login"`
		Logout *struct{} `xml:"logout"`
	} `xml:"Body"`
}

// soap serves POST /services/Soap/u/NN.0.
func (s *Server) soap(r *http.Request, seg []string) answer {
	if r.Method != http.MethodPost {
		return notAllowed(r.Method, "POST")
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var env envelope
	if err == nil {
		err = xml.Unmarshal(text, &env)
	}
	switch {
	case err != nil:
		return soapFault("soapenv:Client", "UNEXPECTED", "request is not a SOAP envelope")
	case env.Body.Logout != nil:
		if !s.closeSession(env.Header.SessionHeader.SessionID) {
			return soapFault("sf:INVALID_SESSION_ID", "INVALID_SESSION_ID", "Invalid Session ID found in SessionHeader: Illegal Session")
		}
		return soapAnswer(http.StatusOK, `<logoutResponse/>`)
	case env.Body.Login == nil:
		return soapFault("soapenv:Client", "UNKNOWN_OPERATION", "only login and logout are served here")
	case !s.logsIn(env.Body.Login.Username, env.Body.Login.Password):
		return soapFault("INVALID_LOGIN", "INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")
	case !s.mayLogIn(s.user):
		return soapFault("INVALID_LOGIN", "INVALID_LOGIN", "Login Rate Exceeded")
	}
	version := fmt.Sprintf("%d.0", NewestVersion)
	if len(seg) > 3 {
		version = seg[3]
	}
	sess := s.open(s.user, "")
	u, base := s.user, s.instanceURL()
	server := base + "/services/Soap/u/" + version + "/" + s.orgID[:15]
	return soapAnswer(http.StatusOK, fmt.Sprintf(`<loginResponse><result>`+
		`<metadataServerUrl>%s/services/Soap/m/%s/%s</metadataServerUrl>`+
		`<passwordExpired>false</passwordExpired><sandbox>false</sandbox>`+
		`<serverUrl>%s</serverUrl><sessionId>%s</sessionId><userId>%s</userId>`+
		`<userInfo><organizationId>%s</organizationId><organizationName>Example</organizationName>`+
		`<sessionSecondsValid>%d</sessionSecondsValid><userEmail>%s</userEmail><userFullName>%s</userFullName>`+
		`<userId>%s</userId><userName>%s</userName><userTimeZone>GMT</userTimeZone><userType>Standard</userType></userInfo>`+
		`</result></loginResponse>`,
		escape(base), escape(version), s.orgID[:15], escape(server), escape(sess.token), u.ID,
		s.orgID, int(s.opt.SessionTimeout.Seconds()), escape(u.Email), escape(u.Name), u.ID, escape(u.Username)))
}

func soapAnswer(status int, body string) answer {
	return answer{
		status: status,
		header: http.Header{"Content-Type": {"text/xml;charset=UTF-8"}},
		text: `<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"` +
			` xmlns="urn:partner.soap.sforce.com" xmlns:sf="urn:fault.partner.soap.sforce.com" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">` +
			`<soapenv:Body>` + body + `</soapenv:Body></soapenv:Envelope>`,
	}
}

func soapFault(faultcode, code, message string) answer {
	return soapAnswer(http.StatusInternalServerError, fmt.Sprintf(`<soapenv:Fault><faultcode>%s</faultcode>`+
		`<faultstring>%s: %s</faultstring><detail><sf:LoginFault xsi:type="sf:LoginFault">`+
		`<sf:exceptionCode>%s</sf:exceptionCode><sf:exceptionMessage>%s</sf:exceptionMessage></sf:LoginFault></detail></soapenv:Fault>`,
		escape(faultcode), code, escape(message), code, escape(message)))
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes every write
	return b.String()
}
