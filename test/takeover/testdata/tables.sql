-- Three mapped tables as Heroku Connect makes them: fields first, integer ids.
CREATE TABLE salesforce.account (
    createddate timestamp without time zone,
    isdeleted boolean,
    name varchar(255),
    industry varchar(40),
    phone varchar(40),
    systemmodstamp timestamp without time zone,
    external_id__c varchar(64),
    sfid varchar(18) COLLATE ucs_basic,
    id serial,
    _hc_lastop varchar(32),
    _hc_err text,
    CONSTRAINT account_pkey PRIMARY KEY (id)
);
CREATE INDEX hc_idx_account_systemmodstamp ON salesforce.account (systemmodstamp);
CREATE UNIQUE INDEX hcu_idx_account_sfid ON salesforce.account (sfid);
CREATE UNIQUE INDEX hcu_idx_account_external_id__c ON salesforce.account (external_id__c);

CREATE TABLE salesforce.contact (
    isdeleted boolean,
    lastname varchar(80),
    title varchar(128),
    accountid varchar(18),
    systemmodstamp timestamp without time zone,
    external_id__c varchar(64),
    sfid varchar(18) COLLATE ucs_basic,
    id serial,
    _hc_lastop varchar(32),
    _hc_err text,
    CONSTRAINT contact_pkey PRIMARY KEY (id)
);
CREATE INDEX hc_idx_contact_systemmodstamp ON salesforce.contact (systemmodstamp);
CREATE UNIQUE INDEX hcu_idx_contact_sfid ON salesforce.contact (sfid);
CREATE UNIQUE INDEX hcu_idx_contact_external_id__c ON salesforce.contact (external_id__c);

CREATE TABLE salesforce.lead (
    isdeleted boolean,
    lastname varchar(80),
    systemmodstamp timestamp without time zone,
    sfid varchar(18) COLLATE ucs_basic,
    id serial,
    _hc_lastop varchar(32),
    _hc_err text,
    CONSTRAINT lead_pkey PRIMARY KEY (id)
);
CREATE INDEX hc_idx_lead_systemmodstamp ON salesforce.lead (systemmodstamp);
CREATE UNIQUE INDEX hcu_idx_lead_sfid ON salesforce.lead (sfid);
