package salesforce

// idForm reports whether s can be a record id: 15 or 18 letters and digits.
func idForm(s string) bool {
	if len(s) != 15 && len(s) != 18 {
		return false
	}
	for i := range len(s) {
		b := s[i]
		if (b < '0' || b > '9') && (b < 'A' || b > 'Z') && (b < 'a' || b > 'z') {
			return false
		}
	}
	return true
}

// nameForm reports whether s can be an API name of an object or field.
func nameForm(s string) bool {
	for i := range len(s) {
		b := s[i]
		letter := b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
		if !letter && (i == 0 || b != '_' && (b < '0' || b > '9')) {
			return false
		}
	}
	return s != ""
}

// ID18 gives an id of 15 characters the three that make it safe to compare
// without case; all others are returned as they are.
//
// Object Reference, "ID Field Type".
func ID18(s string) string {
	if len(s) != 15 {
		return s
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	out := []byte(s)
	for group := 0; group < 15; group += 5 {
		bits := 0
		for i := range 5 {
			if b := s[group+i]; b >= 'A' && b <= 'Z' {
				bits |= 1 << i
			}
		}
		out = append(out, alphabet[bits])
	}
	return string(out)
}
