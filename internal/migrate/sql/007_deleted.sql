-- When Salesforce deleted the record that a mark of reason 'gone' is of, as far as
-- that is known: a row with a later stamp tells that the record was given back.
ALTER TABLE hcbridge.mark ADD COLUMN deleted_at timestamptz;
