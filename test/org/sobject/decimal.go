package sobject

import (
	"encoding/json"
	"strconv"
	"strings"
)

// decimal is an exact decimal number: sign, then whole and fractional digits
// without superfluous zeros.
type decimal struct {
	negative    bool
	whole, frac string
}

// parseDecimal reads a JSON number or the same text with a leading plus, point
// or zeros. Exponents beyond 400 are refused: no field is that wide.
func parseDecimal(s string) (decimal, bool) {
	var d decimal
	s = strings.TrimSpace(s)
	switch {
	case strings.HasPrefix(s, "-"):
		d.negative, s = true, s[1:]
	case strings.HasPrefix(s, "+"):
		s = s[1:]
	}
	exp := 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		n, err := strconv.Atoi(s[i+1:])
		if err != nil || n > 400 || n < -400 {
			return d, false
		}
		exp, s = n, s[:i]
	}
	whole, frac, _ := strings.Cut(s, ".")
	if whole == "" && frac == "" || !allDigits(whole) || !allDigits(frac) {
		return d, false
	}
	switch {
	case exp > 0:
		if pad := exp - len(frac); pad > 0 {
			frac += strings.Repeat("0", pad)
		}
		whole, frac = whole+frac[:exp], frac[exp:]
	case exp < 0:
		if pad := -exp - len(whole); pad > 0 {
			whole = strings.Repeat("0", pad) + whole
		}
		cut := len(whole) + exp
		whole, frac = whole[:cut], whole[cut:]+frac
	}
	d.whole, d.frac = whole, frac
	return d.trim(), true
}

func allDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func (d decimal) trim() decimal {
	d.whole = strings.TrimLeft(d.whole, "0")
	d.frac = strings.TrimRight(d.frac, "0")
	if d.whole == "" && d.frac == "" {
		d.negative = false
	}
	return d
}

// truncate drops the digits after scale, toward zero.
func (d decimal) truncate(scale int) decimal {
	if len(d.frac) > scale {
		d.frac = d.frac[:scale]
	}
	return d.trim()
}

func (d decimal) String() string {
	s := d.whole
	if s == "" {
		s = "0"
	}
	if d.frac != "" {
		s += "." + d.frac
	}
	if d.negative {
		s = "-" + s
	}
	return s
}

// compare orders two decimals by value.
func (d decimal) compare(e decimal) int {
	sign := 1
	switch {
	case d.negative != e.negative:
		if d.negative {
			return -1
		}
		return 1
	case d.negative:
		sign = -1
	}
	if len(d.whole) != len(e.whole) {
		if len(d.whole) < len(e.whole) {
			return -sign
		}
		return sign
	}
	if c := strings.Compare(d.whole, e.whole); c != 0 {
		return sign * c
	}
	// Trimmed fractions of different length differ before the shorter ends or
	// are prefixes, so byte order is numeric order.
	return sign * strings.Compare(d.frac, e.frac)
}

// CompareNumbers orders two numbers by exact value. What is no number sorts
// first.
func CompareNumbers(a, b json.Number) int {
	x, okX := parseDecimal(string(a))
	y, okY := parseDecimal(string(b))
	switch {
	case okX && okY:
		return x.compare(y)
	case okX:
		return 1
	case okY:
		return -1
	}
	return 0
}

// PlainNumber returns n in the form in which numbers are stored: exact digits
// without exponent, superfluous zeros or "-0".
func PlainNumber(n json.Number) (json.Number, bool) {
	d, ok := parseDecimal(string(n))
	return json.Number(d.String()), ok
}
