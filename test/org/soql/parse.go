package soql

import (
	"slices"
	"strconv"
	"strings"
)

// maxDepth bounds nested parentheses, so that hostile input cannot exhaust
// the stack.
const maxDepth = 200

type parser struct {
	q      *Query
	tokens []token
	depth  int
}

// Parse reads a query. Names are not looked up yet. The error is an [*Error].
func Parse(text string) (*Query, error) {
	if len(text) > 100_000 {
		return nil, malformed("SOQL statements cannot be longer than 100,000 characters.")
	}
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	q, err := p.query(text)
	if err != nil {
		return nil, err
	}
	p.accept(";")
	if p.peek().kind != end {
		return nil, p.unexpected()
	}
	return q, nil
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != end {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *parser) accept(s string) bool {
	if p.peek().is(s) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expect(s string) *Error {
	if p.accept(s) {
		return nil
	}
	return p.unexpected()
}

func (p *parser) unexpected() *Error {
	return malformed("unexpected token: %s", p.peek().text)
}

func (p *parser) query(text string) (*Query, *Error) {
	outer := p.q
	q := &Query{Text: text, Limit: -1, Offset: -1}
	p.q = q
	defer func() { p.q = outer }()
	if p.depth++; p.depth > maxDepth {
		return nil, malformed("query is too deeply nested")
	}
	defer func() { p.depth-- }()
	steps := []func() *Error{p.selectList, p.from, p.where, p.groupBy, p.orderBy, p.limits}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	q.resolveAlias()
	return q, nil
}

func (p *parser) selectList() *Error {
	if err := p.expect("SELECT"); err != nil {
		return err
	}
	for {
		if err := p.selectItem(); err != nil {
			return err
		}
		if !p.accept(",") {
			return nil
		}
	}
}

func (p *parser) selectItem() *Error {
	switch {
	case p.accept("("):
		p.q.Subquery, p.q.Relationship = true, true
		if _, err := p.query(p.q.Text); err != nil {
			return err
		}
		return p.expect(")")
	case p.peek().is("TYPEOF"):
		p.q.TypeOf = true
		for !p.accept("END") {
			if p.next().kind == end {
				return p.unexpected()
			}
		}
		return nil
	}
	t := p.peek()
	if t.kind != word || reserved(t.text) {
		return p.unexpected()
	}
	p.next()
	c := Column{pos: t.pos}
	if !p.peek().is("(") {
		path, err := p.path(t)
		if err != nil {
			return err
		}
		c.Path = path
		p.q.Select = append(p.q.Select, c)
		return nil
	}
	p.next()
	c.Func = strings.ToUpper(t.text)
	if c.Func == "COUNT" && p.accept(")") {
		p.q.Count, p.q.Aggregate = true, true
		return nil
	}
	arg := p.next()
	if arg.kind != word {
		return malformed("unexpected token: %s", arg.text)
	}
	c.pos = arg.pos
	path, err := p.path(arg)
	if err != nil {
		return err
	}
	c.Path = path
	if err := p.expect(")"); err != nil {
		return err
	}
	switch c.Func {
	case "FIELDS":
	case "COUNT", "COUNT_DISTINCT", "MIN", "MAX", "SUM", "AVG":
		p.q.Aggregate = true
		if a := p.peek(); a.kind == word && !reserved(a.text) {
			c.alias = p.next().text
		}
	default:
		return malformed("unexpected token: %s", t.text)
	}
	p.q.Select = append(p.q.Select, c)
	return nil
}

// path splits a dotted name and notes that the query uses relationships.
func (p *parser) path(t token) ([]string, *Error) {
	parts := strings.Split(t.text, ".")
	if slices.Contains(parts, "") {
		return nil, malformed("unexpected token: %s", t.text)
	}
	return parts, nil
}

func reserved(s string) bool {
	switch strings.ToUpper(s) {
	case "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "LIKE", "ORDER", "GROUP", "BY", "HAVING", "LIMIT", "OFFSET",
		"NULLS", "ASC", "DESC", "NULL", "TRUE", "FALSE", "USING", "WITH", "FOR":
		return true
	}
	return false
}

func (p *parser) from() *Error {
	if err := p.expect("FROM"); err != nil {
		return err
	}
	t := p.peek()
	// Order and Group are objects too.
	object := strings.EqualFold(t.text, "Order") || strings.EqualFold(t.text, "Group")
	if t.kind != word || reserved(t.text) && !object || strings.Contains(t.text, ".") {
		return p.unexpected()
	}
	p.next()
	p.q.From, p.q.fromPos = t.text, t.pos
	as := p.accept("AS")
	if a := p.peek(); a.kind == word && !reserved(a.text) && !strings.Contains(a.text, ".") {
		p.q.alias = p.next().text
	} else if as {
		return p.unexpected()
	}
	return nil
}

// groupBy reads GROUP BY and HAVING only as far as to know they are there.
func (p *parser) groupBy() *Error {
	if !p.accept("GROUP") {
		return nil
	}
	p.q.Aggregate, p.q.grouped = true, true
	if err := p.expect("BY"); err != nil {
		return err
	}
	for {
		if t := p.next(); t.kind != word || reserved(t.text) {
			return malformed("unexpected token: %s", t.text)
		}
		if !p.accept(",") {
			break
		}
	}
	if p.accept("HAVING") {
		for !p.peek().is("ORDER") && !p.peek().is("LIMIT") && !p.peek().is("OFFSET") && p.peek().kind != end {
			p.next()
		}
	}
	return nil
}

func (p *parser) orderBy() *Error {
	if !p.accept("ORDER") {
		return nil
	}
	if err := p.expect("BY"); err != nil {
		return err
	}
	for {
		t := p.peek()
		if t.kind != word || reserved(t.text) {
			return p.unexpected()
		}
		p.next()
		path, err := p.path(t)
		if err != nil {
			return err
		}
		o := Order{Path: path, pos: t.pos}
		if p.accept("DESC") {
			o.Descending = true
		} else {
			p.accept("ASC")
		}
		if p.accept("NULLS") {
			if p.accept("LAST") {
				o.NullsLast = true
			} else if err := p.expect("FIRST"); err != nil {
				return err
			}
		}
		p.q.OrderBy = append(p.q.OrderBy, o)
		if !p.accept(",") {
			return nil
		}
	}
}

func (p *parser) limits() *Error {
	if p.accept("LIMIT") {
		n, err := p.count()
		if err != nil {
			return err
		}
		p.q.Limit = n
	}
	if p.accept("OFFSET") {
		n, err := p.count()
		if err != nil {
			return err
		}
		if n > 2000 {
			return &Error{Code: "NUMBER_OUTSIDE_VALID_RANGE", Message: "Maximum SOQL offset allowed is 2000", Detail: "Maximum SOQL offset allowed is 2000"}
		}
		p.q.Offset = n
	}
	return nil
}

func (p *parser) count() (int, *Error) {
	t := p.peek()
	n, err := strconv.Atoi(t.text)
	if t.kind != literal || err != nil || n < 0 || n > 1<<31-1 {
		return 0, p.unexpected()
	}
	p.next()
	return n, nil
}
