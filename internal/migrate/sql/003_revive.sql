-- The local id that a deleted record's row had: if Salesforce gives the record
-- back, its row has it again, and what an app refers to by id is found.
ALTER TABLE hcbridge.gone ADD COLUMN row_id bigint;
