package pgsink

import (
	"fmt"
	"strings"
)

// kind is how the values of a field are brought into canonical form.
type kind int

const (
	kindText kind = iota
	kindAny       // text, which may be the JSON of an object or array
	kindID
	kindBool
	kindNumber
	kindDate
	kindDatetime
	kindTime
)

// Lengths that Heroku Connect uses where the describe result has none, and the
// length it always gives multi-select picklists.
const (
	lengthText          = 255
	lengthEmail         = 80
	lengthPhone         = 40
	lengthCategory      = 80
	lengthMultipicklist = 4099
	lengthShortArea     = 1000     // textareas above are text
	maxVarchar          = 10485760 // Postgres's own limit
)

// pgType is the column type of a Salesforce field, as Postgres's format_type
// spells it, and the form of its values.
func pgType(f Field, numeric bool) (string, kind, error) {
	switch f.Type {
	case "id", "reference", "masterrecord":
		return "character varying(18)", kindID, nil
	case "boolean":
		return "boolean", kindBool, nil
	case "int":
		return "integer", kindNumber, nil
	case "long":
		return "bigint", kindNumber, nil
	case "double", "currency", "percent":
		if numeric {
			return "numeric", kindNumber, nil
		}
		return "double precision", kindNumber, nil
	case "date":
		return "date", kindDate, nil
	case "datetime":
		return "timestamp without time zone", kindDatetime, nil
	case "time":
		return "time without time zone", kindTime, nil
	case "multipicklist":
		return varchar(lengthMultipicklist), kindText, nil
	case "email":
		return varchar(f.Length, lengthEmail), kindText, nil
	case "phone":
		return varchar(f.Length, lengthPhone), kindText, nil
	case "DataCategoryGroupReference":
		return varchar(f.Length, lengthCategory), kindText, nil
	case "textarea":
		if f.Long || f.Length > lengthShortArea {
			return "text", kindText, nil
		}
		return varchar(f.Length, lengthText), kindText, nil
	case "string", "picklist", "combobox", "url", "encryptedstring":
		return varchar(f.Length, lengthText), kindText, nil
	case "base64":
		return "text", kindText, nil
	case "anyType", "complexvalue", "json":
		return "text", kindAny, nil
	case "address", "location":
		return "", 0, fmt.Errorf("field %s: compound %s has no column, map its parts", f.Name, f.Type)
	case "":
		return "", 0, fmt.Errorf("field %s: no type", f.Name)
	default:
		// A type this release of Salesforce has invented since.
		return "text", kindAny, nil
	}
}

// varchar is the column type of the first length that is set.
func varchar(lengths ...int) string {
	for _, n := range lengths {
		if n > maxVarchar {
			return "text"
		}
		if n > 0 {
			return fmt.Sprintf("character varying(%d)", n)
		}
	}
	return "text"
}

// castType is a column type without its length. A cast to varchar(80) cuts the
// value silently, where an assignment refuses it, and refusing is what we want.
func castType(pgType string) string {
	base, _, _ := strings.Cut(pgType, "(")
	return base
}
