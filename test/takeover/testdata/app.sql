-- What an app and its people have made around Heroku Connect's tables.
CREATE VIEW public.big_accounts AS SELECT id, sfid, name, industry FROM salesforce.account WHERE industry = 'Banking';
CREATE VIEW public.failures AS SELECT id, table_name, record_id, sf_message FROM salesforce._trigger_log WHERE state = 'FAILED';
CREATE INDEX my_account_name ON salesforce.account (lower(name));
CREATE TABLE public.orders (id serial PRIMARY KEY, account_id integer REFERENCES salesforce.account (id));

-- The documented recipe of a custom trigger: a change that Salesforce's data brings
-- is captured although Heroku Connect's session hides its own.
CREATE FUNCTION public.follow_account() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    oldxmlbinary varchar;
BEGIN
    oldxmlbinary := get_xmlbinary();
    SET LOCAL xmlbinary TO 'base64';
    UPDATE salesforce.contact SET title = 'at ' || NEW.name WHERE accountid = NEW.sfid;
    EXECUTE 'SET LOCAL xmlbinary TO ' || oldxmlbinary;
    RETURN NEW;
END $$;
CREATE TRIGGER my_trigger AFTER UPDATE OF name ON salesforce.account FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE PROCEDURE public.follow_account();
