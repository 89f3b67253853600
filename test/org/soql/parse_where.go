package soql

import (
	"strings"
	"time"
)

func (p *parser) where() *Error {
	if !p.accept("WHERE") {
		return nil
	}
	e, err := p.condition()
	p.q.Where = e
	return err
}

// condition reads terms joined by AND or by OR. SOQL has no precedence
// between the two: mixing them without parentheses is an error.
func (p *parser) condition() (Expr, *Error) {
	first, err := p.term()
	if err != nil {
		return nil, err
	}
	terms := []Expr{first}
	joiner := ""
	for {
		t := p.peek()
		if !t.is("AND") && !t.is("OR") {
			break
		}
		if joiner != "" && !t.is(joiner) {
			return nil, p.unexpected()
		}
		joiner = strings.ToUpper(t.text)
		p.next()
		e, err := p.term()
		if err != nil {
			return nil, err
		}
		terms = append(terms, e)
	}
	switch joiner {
	case "AND":
		return &And{Terms: terms}, nil
	case "OR":
		return &Or{Terms: terms}, nil
	}
	return first, nil
}

func (p *parser) term() (Expr, *Error) {
	if p.depth++; p.depth > maxDepth {
		return nil, malformed("query is too deeply nested")
	}
	defer func() { p.depth-- }()
	switch {
	case p.accept("NOT"):
		p.q.Not = true
		e, err := p.term()
		if err != nil {
			return nil, err
		}
		return &Not{Term: e}, nil
	case p.accept("("):
		e, err := p.condition()
		if err != nil {
			return nil, err
		}
		return e, p.expect(")")
	}
	return p.comparison()
}

func (p *parser) comparison() (Expr, *Error) {
	t := p.peek()
	if t.kind != word || reserved(t.text) {
		return nil, p.unexpected()
	}
	p.next()
	path, err := p.path(t)
	if err != nil {
		return nil, err
	}
	c := &Compare{Path: path, pos: t.pos}
	op := p.next()
	switch {
	case op.is("NOT") && p.accept("IN"):
		c.Op = "NOT IN"
		return c, p.list(c)
	case op.is("IN"):
		c.Op = "IN"
		return c, p.list(c)
	case op.is("LIKE"):
		c.Op = "LIKE"
	case op.is("<>"):
		c.Op = "!="
	case op.kind == symbol && strings.Contains(" = != < <= > >= ", " "+op.text+" "):
		c.Op = op.text
	default:
		return nil, malformed("unexpected token: %s", op.text)
	}
	l, err := p.literal(c.Op == "LIKE")
	if err != nil {
		return nil, err
	}
	if c.Op == "LIKE" && l.Kind != Text {
		return nil, malformed("unexpected token: %s", l.raw)
	}
	c.Values = []Literal{l}
	return c, nil
}

func (p *parser) list(c *Compare) *Error {
	if err := p.expect("("); err != nil {
		return err
	}
	if p.peek().is("SELECT") {
		p.q.SemiJoin = true
		sub, err := p.query(p.q.Text)
		if err != nil {
			return err
		}
		c.Sub = sub
		return p.expect(")")
	}
	for {
		l, err := p.literal(false)
		if err != nil {
			return err
		}
		c.Values = append(c.Values, l)
		if !p.accept(",") {
			return p.expect(")")
		}
	}
}

func (p *parser) literal(like bool) (Literal, *Error) {
	t := p.peek()
	l := Literal{raw: t.text, pos: t.pos}
	switch {
	case t.kind == quoted:
		if t.wild && !like {
			return l, malformed("Invalid string literal '%s'. Illegal character sequence '\\%c' in string literal.", t.pattern, t.pattern[strings.IndexAny(t.pattern, "_%")])
		}
		if len(t.text) > 4000 {
			return l, malformed("string literal is longer than 4,000 characters")
		}
		l.Kind, l.Text = Text, t.text
		if like {
			l.pattern = compileLike(t.pattern)
		}
	case t.is("null"):
		l.Kind = Null
	case t.is("true"), t.is("false"):
		l.Kind, l.Text = Bool, strings.ToLower(t.text)
	case t.kind == literal:
		if !l.unquoted(t.text) {
			return l, p.unexpected()
		}
	default:
		return l, p.unexpected()
	}
	p.next()
	return l, nil
}

// The years of dates that Salesforce takes (Object Reference, "Field Types").
const firstYear, lastYear = 1700, 4000

// unquoted recognises numbers, dates, datetimes and times.
func (l *Literal) unquoted(s string) bool {
	l.Text = s
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999-0700", "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= firstYear && t.Year() <= lastYear {
			l.Kind, l.At = Datetime, t.UTC()
			return true
		}
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil && t.Year() >= firstYear && t.Year() <= lastYear {
		l.Kind = Date
		return true
	}
	if t, err := time.Parse("15:04:05.999Z", s); err == nil {
		l.Kind, l.Text = Time, t.Format("15:04:05.000Z")
		return true
	}
	if isNumber(s) {
		l.Kind = Number
		return true
	}
	return false
}

// isNumber accepts digits with a sign, one point and an exponent.
func isNumber(s string) bool {
	s = strings.TrimLeft(s[:1], "+-") + s[1:]
	mantissa, exponent, hasExponent := s, "", false
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa, exponent, hasExponent = s[:i], strings.TrimLeft(s[i+1:], "+-"), true
		if len(s[i+1:])-len(exponent) > 1 {
			return false
		}
	}
	whole, frac, _ := strings.Cut(mantissa, ".")
	digits := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	return whole+frac != "" && digits(whole) && digits(frac) && digits(exponent) && hasExponent == (exponent != "") && len(exponent) <= 3
}
