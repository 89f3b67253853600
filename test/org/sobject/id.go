package sobject

import "errors"

// ErrID reports that a string is no well-formed id.
var ErrID = errors.New("malformed id")

// EmptyID is the id that stands for no record.
const EmptyID = "000000000000000AAA"

// digits are those of ids in their order, which is also byte order, so that
// ids of one object compare as they were minted.
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Suffix returns the three check characters of a 15-character id: one for
// each group of five, whose bits say which characters are capital letters
// (SOAP API Developer Guide, "ID Field Type").
func Suffix(id15 string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	var out [3]byte
	for g := range 3 {
		bits := 0
		for i := range 5 {
			if c := id15[g*5+i]; c >= 'A' && c <= 'Z' {
				bits |= 1 << i
			}
		}
		out[g] = alphabet[bits]
	}
	return string(out[:])
}

// NormalizeID returns the 18-character form of an id of 15 or 18 characters.
// A wrong length, character or suffix is ErrID.
func NormalizeID(id string) (string, error) {
	if len(id) != 15 && len(id) != 18 {
		return "", ErrID
	}
	for i := range 15 {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return "", ErrID
		}
	}
	suffix := Suffix(id[:15])
	if len(id) == 15 {
		return id + suffix, nil
	}
	if id[15:] != suffix {
		return "", ErrID
	}
	return id, nil
}

// MintID returns the n-th id of a key prefix.
func MintID(prefix string, n uint64) string {
	var buf [18]byte
	copy(buf[:], prefix)
	copy(buf[3:], "Hc0") // the instance that minted it
	for i := 14; i >= 6; i-- {
		buf[i] = digits[n%62]
		n /= 62
	}
	copy(buf[15:], Suffix(string(buf[:15])))
	return string(buf[:])
}
