package pgsink

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A field that gets another type keeps its column where that is text.
func TestEnsureKeepsTextForOtherTypes(t *testing.T) {
	t.Parallel()
	for want, types := range map[bool][][2]string{
		true: {
			{"double precision", "character varying(40)"},
			{"date", "text"},
			{"timestamp without time zone", "character varying(255)"},
			{"boolean", "text"},
			{"character varying(18)", "character varying(3)"},
		},
		false: {
			{"double precision", "character varying(10)"},
			{"character varying(255)", "double precision"},
			{"timestamp without time zone", "date"},
			{"date", "timestamp without time zone"},
			{"integer", "boolean"},
			{"bigint", "integer"},
		},
	} {
		for _, pair := range types {
			if got := fits(pair[0], pair[1]); got != want {
				t.Errorf("%s in a column of %s: %v, want %v", pair[0], pair[1], got, want)
			}
		}
	}
	spec := account()
	b := setup(t, spec)
	b.exec(`ALTER TABLE salesforce.account ALTER COLUMN amount__c TYPE varchar(40)`)
	report, err := b.ensure()
	if err != nil || len(report.Widened) > 0 || len(report.Foreign) != 1 {
		t.Fatalf("report %+v, %v", report, err)
	}
	b.want("amount__c (character varying(40), its field needs double precision)", "SELECT $1::text", report.Foreign[0])
	row := Row{SFID: id(1), Stamp: at(1), Values: []*string{nil, nil, ptr("1234.5"), ptr("2024-05-01 08:00:01"), nil}}
	b.applyChanges(Result{Inserted: 1}, Change{Table: b.table, Kind: Read, Row: row})
	b.applyChanges(Result{Unchanged: 1}, Change{Table: b.table, Kind: Read, Row: row})
	b.want("1234.5", `SELECT amount__c FROM salesforce.account`)
	b.want("character varying", `SELECT data_type FROM information_schema.columns WHERE table_name = 'account' AND column_name = 'amount__c'`)
}

// Long text areas are text, however short, and a column that holds them stays as it is.
func TestEnsureLongAreas(t *testing.T) {
	t.Parallel()
	spec := account()
	spec.Fields = append(spec.Fields, Field{Name: "Short__c", Type: "textarea", Length: 1000}, Field{Name: "Long__c", Type: "textarea", Length: 1000, Long: true})
	b := setup(t, spec)
	columns := `SELECT string_agg(format_type(atttypid, atttypmod), ', ' ORDER BY attname DESC) FROM pg_attribute WHERE attrelid = 'salesforce.account'::regclass AND attname IN ('long__c', 'short__c')`
	b.want("character varying(1000), text", columns)
	b.exec(`ALTER TABLE salesforce.account ALTER COLUMN long__c TYPE varchar(1000)`)
	if report, err := b.ensure(); err != nil || len(report.Widened)+len(report.Narrow) > 0 {
		t.Errorf("report %+v, %v", report, err)
	}
	b.exec(`ALTER TABLE salesforce.account ALTER COLUMN long__c TYPE varchar(999)`)
	if report, err := b.ensure(); err != nil || len(report.Widened) != 1 {
		t.Errorf("report %+v, %v", report, err)
	}
	b.want("character varying(1000), text", columns)
}

// Row 49 of the fault list: the app holds a lock on the table. Its queries
// queue behind ours, so ours must not wait long.
func TestEnsureGivesWay(t *testing.T) {
	t.Parallel()
	b := setup(t, account())
	b.exec(`ALTER TABLE salesforce.account DROP COLUMN name`)
	ctx := withTimeout(t)
	tx, err := b.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, `SELECT count(*) FROM salesforce.account`); err != nil {
		t.Fatal(err)
	}
	err = pgx.BeginFunc(ctx, b.pool, func(own pgx.Tx) error {
		began := time.Now()
		if _, err := b.table.Ensure(ctx, own); !isConflict(err) {
			t.Errorf("got %v, want lock_not_available", err)
		}
		if took := time.Since(began); took < time.Second || took > 4500*time.Millisecond {
			t.Errorf("it waited %s, want 2s", took)
		}
		return errors.New("undo")
	})
	if err == nil {
		t.Error("not undone")
	}
}
