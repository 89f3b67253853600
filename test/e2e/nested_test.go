package e2e

import (
	"testing"
)

// What an app's row triggers make of the row that fired them is what both sides have in
// the end, though it is logged first.
func TestTriggersOnTheirOwnRow(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"ordered", "merged"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, append([]string{"HC_WRITE_ALGORITHM=" + algorithm}, readWrite...)...)
			r.Start()
			r.Synced()
			r.Exec(`CREATE FUNCTION public.own() RETURNS trigger LANGUAGE plpgsql AS $$
				BEGIN
					IF TG_OP = 'INSERT' THEN
						UPDATE salesforce.account SET industry = 'Banking' WHERE id = NEW.id;
					ELSIF NEW.name = 'gone' THEN
						DELETE FROM salesforce.account WHERE id = NEW.id;
					ELSIF NEW.name ~ '\D' THEN
						UPDATE salesforce.account SET name = regexp_replace(NEW.name, '\D', '') WHERE id = NEW.id;
					END IF;
					RETURN NULL;
				END $$;
				CREATE TRIGGER own AFTER INSERT OR UPDATE OF name ON salesforce.account FOR EACH ROW WHEN (public.get_xmlbinary() = 'base64') EXECUTE FUNCTION public.own()`)
			r.Exec(`INSERT INTO salesforce.account (name) VALUES ('1'), ('2'), ('3')`)
			r.Equal("Account")
			r.Exec(`UPDATE salesforce.account SET name = '((2)) 4' WHERE name = '2'; UPDATE salesforce.account SET name = 'gone' WHERE name = '3'`)
			r.Equal("Account")
			if n := r.Count(`SELECT count(*) FROM salesforce.account WHERE industry = 'Banking' AND name IN ('1', '24')`); n != 2 {
				t.Errorf("%d rows are as the triggers made them", n)
			}
			if n := r.Count(`SELECT count(*) FROM salesforce.account`) + r.Count(`SELECT count(*) FROM salesforce._trigger_log WHERE state = 'FAILED'`); n != 2 {
				t.Errorf("%d rows and refused changes", n)
			}
		})
	}
}
