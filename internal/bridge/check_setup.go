package bridge

import (
	"cmp"
	"context"
	"embed"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/cdc"
	"hcbridge/internal/salesforce"
)

//go:embed setup
var setupFiles embed.FS

var setups = template.Must(template.ParseFS(setupFiles, "setup/*"))

const metadataNamespace = "http://soap.sforce.com/2006/04/metadata"

// permissionSet is one as the Metadata API Developer Guide, "PermissionSet",
// has it; the order of the elements is that of the alphabet.
type permissionSet struct {
	XMLName       xml.Name           `xml:"PermissionSet"`
	Xmlns         string             `xml:"xmlns,attr"`
	Description   string             `xml:"description"`
	Fields        []fieldPermission  `xml:"fieldPermissions"`
	HasActivation bool               `xml:"hasActivationRequired"`
	Label         string             `xml:"label"`
	Objects       []objectPermission `xml:"objectPermissions"`
	Users         []userPermission   `xml:"userPermissions"`
}

type fieldPermission struct {
	Editable bool   `xml:"editable"`
	Field    string `xml:"field"`
	Readable bool   `xml:"readable"`
}

type objectPermission struct {
	Create    bool   `xml:"allowCreate"`
	Delete    bool   `xml:"allowDelete"`
	Edit      bool   `xml:"allowEdit"`
	Read      bool   `xml:"allowRead"`
	ModifyAll bool   `xml:"modifyAllRecords"`
	Object    string `xml:"object"`
	ViewAll   bool   `xml:"viewAllRecords"`
}

type userPermission struct {
	Enabled bool   `xml:"enabled"`
	Name    string `xml:"name"`
}

// channelMember selects an object for Change Data Capture (Metadata API
// Developer Guide, "PlatformEventChannelMember").
type channelMember struct {
	XMLName xml.Name `xml:"PlatformEventChannelMember"`
	Xmlns   string   `xml:"xmlns,attr"`
	Channel string   `xml:"eventChannel"`
	Entity  string   `xml:"selectedEntity"`
}

// readWith are objects that Salesforce lets nobody read without their parents.
var readWith = map[string][]string{
	"Asset": {"Account"}, "Case": {"Account", "Contact"}, "Contact": {"Account"}, "Contract": {"Account"},
	"Opportunity": {"Account"}, "Order": {"Account"}, "Quote": {"Account", "Opportunity"},
}

// SalesforceSetup returns, for a person, what to make in Salesforce for the
// mapping: a user, a permission set with exactly the rights that are used, and
// an app to log in by. It needs no database. The org is asked for the fields of
// the objects if one can log in already; otherwise those that the mapping names
// are listed, and a note says of which objects none are known.
func SalesforceSetup(ctx context.Context, cfg *config.Config) (string, error) {
	sf, err := NewSalesforce(cfg, zerolog.Nop())
	if err == nil {
		_, err = sf.Login(ctx)
	}
	if err != nil {
		sf = nil // that is what the setup is for
	}
	return salesforceSetup(ctx, cfg, sf)
}

// salesforceSetup asks sf where it is not nil.
func salesforceSetup(ctx context.Context, cfg *config.Config, sf *salesforce.Client) (string, error) {
	set := permissionSet{
		Xmlns: metadataNamespace, Label: "hcbridge", Description: "What hcbridge needs to keep the mapped objects in step with Postgres.",
		Users: []userPermission{{true, "ApiEnabled"}},
	}
	var notes []string
	streaming := false
	type file struct{ File, XML string }
	var members []file
	var captured []string
	grant := func(p objectPermission) {
		i := slices.IndexFunc(set.Objects, func(q objectPermission) bool { return q.Object == p.Object })
		if i < 0 {
			set.Objects = append(set.Objects, p)
			return
		}
		q := &set.Objects[i]
		q.Create, q.Delete, q.Edit, q.ViewAll = q.Create || p.Create, q.Delete || p.Delete, q.Edit || p.Edit, q.ViewAll || p.ViewAll
	}
	for _, o := range cfg.Objects {
		writes := o.Access == accessReadWrite
		grant(objectPermission{Object: o.Name, Read: true, ViewAll: true, Create: writes, Edit: writes, Delete: writes})
		for _, parent := range readWith[o.Name] {
			grant(objectPermission{Object: parent, Read: true})
		}
		fields, note := setupFields(ctx, o, sf)
		set.Fields = append(set.Fields, fields...)
		notes = append(notes, note...)
		switch o.Mode {
		case config.ModeStreaming:
			streaming = true
		case config.ModeCDC:
			event := strings.TrimPrefix(cdc.Channel(o.Name), "/data/")
			text, err := metadata(channelMember{Xmlns: metadataNamespace, Channel: "ChangeEvents", Entity: event}, "     ")
			if err != nil {
				return "", err
			}
			captured = append(captured, o.Name)
			members = append(members, file{"ChangeEvents_" + strings.ReplaceAll(event, "__", "_") + ".platformEventChannelMember-meta.xml", text})
		}
	}
	if streaming {
		grant(objectPermission{Object: pushTopic, Read: true, Create: true, Edit: true, Delete: true})
		grant(objectPermission{Object: canaryObject, Read: true, Create: true})
	}
	slices.SortFunc(set.Objects, func(a, b objectPermission) int { return cmp.Compare(a.Object, b.Object) })
	slices.SortFunc(set.Fields, func(a, b fieldPermission) int { return cmp.Compare(a.Field, b.Field) })
	text, err := metadata(set, "     ")
	if err != nil {
		return "", err
	}
	login := cfg.Salesforce.LoginURL
	if login == "" || login == "https://login.salesforce.com" || login == "https://test.salesforce.com" {
		login = "https://<name>.my.salesforce.com"
	}
	var b strings.Builder
	err = setups.ExecuteTemplate(&b, "salesforce.txt", map[string]any{
		"Count": plural(len(cfg.Objects), "mapped object"), "PermissionSet": text, "Notes": notes, "ChangeEvents": members, "Captured": strings.Join(captured, ", "),
		"Auth": cmp.Or(string(cfg.Salesforce.Auth), string(config.AuthJWT)), "Username": cmp.Or(cfg.Salesforce.Username, "<user>"), "LoginURL": login,
	})
	return b.String(), err
}

// setupFields returns the permissions on the fields of an object. Required
// fields need none, and Salesforce refuses them.
func setupFields(ctx context.Context, o config.Object, sf *salesforce.Client) (list []fieldPermission, notes []string) {
	writes := o.Access == accessReadWrite
	var d *salesforce.Describe
	if sf != nil {
		var err error
		if d, err = sf.Describe(ctx, o.Name); err != nil {
			d = nil
			notes = append(notes, "this user does not see "+o.Name+", so that its fields are those that the mapping names.")
		}
	}
	names := slices.Clone(o.Fields)
	if o.ExternalID != "" && !containsFold(names, o.ExternalID) && len(names) > 0 {
		names = append(names, o.ExternalID)
	}
	if len(names) == 0 && d == nil {
		return nil, append(notes, "grant Read on the fields of "+o.Name+" that are to be synced"+map[bool]string{true: " and Edit on those that are written"}[writes]+
			"; they are listed here where HC_OBJECT_"+strings.ToUpper(o.Name)+"_FIELDS names them, or once hcbridge can log in.")
	}
	if len(names) == 0 {
		for _, f := range d.Fields {
			if !slices.Contains(unmappable, f.Type) {
				names = append(names, f.Name)
			}
		}
	}
	for _, name := range names {
		if rel, parentField, ok := setupParent(d, name); ok {
			notes = append(notes, "grant Read on "+parentField+" of the object that "+o.Name+"."+rel+" refers to, and on that object.")
			if base, custom := customBase(rel); custom {
				name = base + "__c"
			} else {
				name = rel + "Id"
			}
		}
		p := fieldPermission{Field: o.Name + "." + name, Readable: true, Editable: writes}
		if d != nil && d.Field(name) != nil {
			f := d.Field(name)
			if !f.Permissionable {
				continue
			}
			p.Field = o.Name + "." + f.Name
			p.Editable = writes && (f.Createable || f.Updateable)
		} else if containsFold(setBySalesforce, name) || containsFold([]string{"Name", "LastName", "OwnerId"}, name) {
			continue // never to be granted
		}
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list, notes
}

// standardLookups are relationships that Salesforce itself has. No package's namespace is
// called so.
var standardLookups = []string{"Account", "Asset", "Campaign", "Case", "Contact", "Contract", "Lead", "Opportunity", "Order", "Owner", "Parent", "Product2", "Quote", "ReportsTo"}

// setupParent takes the name of a parent's field apart. An export joins it, and then only
// the org tells Account__Code__c from a field of a package; without the org, d is nil.
func setupParent(d *salesforce.Describe, name string) (rel, parentField string, ok bool) {
	if rel, parentField, ok = strings.Cut(name, "."); ok {
		return rel, parentField, true
	}
	if d != nil {
		if d.Field(name) != nil {
			return "", "", false
		}
		return joined(d, name)
	}
	rel, parentField, ok = strings.Cut(name, "__")
	return rel, parentField, ok && containsFold(standardLookups, rel)
}

func metadata(v any, indent string) (string, error) {
	text, err := xml.MarshalIndent(v, indent, "    ")
	return indent + `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + string(text), err
}

func plural[N int | int64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprint(n, " ", what, "s")
}

// PostgresSetup returns SQL that makes a role for the bridge with the rights
// that it needs and no more. Role and database are those of DATABASE_URL, where
// it names them and the role is not the administrator's; it connects to nothing.
func PostgresSetup(cfg *config.Config) (string, error) {
	role, database := "hcbridge", "app"
	if url := cfg.DatabaseURL.Reveal(); url != "" {
		pg, err := pgconn.ParseConfig(url)
		if err != nil {
			return "", &ConfigError{Variable: "DATABASE_URL", Text: "not a Postgres connection string"}
		}
		if pg.User != "" && pg.User != "postgres" && strings.Contains(url, pg.User) {
			role = pg.User
		}
		if pg.Database != "" {
			database = pg.Database
		}
	}
	name := func(s string) string { return pgx.Identifier{s}.Sanitize() }
	var b strings.Builder
	err := setups.ExecuteTemplate(&b, "postgres.sql", map[string]string{
		"Role": name(role), "Database": name(database), "Schema": name(cfg.Schema), "App": name("app"),
	})
	return b.String(), err
}
