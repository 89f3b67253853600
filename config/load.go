package config

import (
	"slices"
	"strings"
	"time"
)

// Load reads the configuration from environ, which has the form of
// os.Environ(), and from the files that it names. Variables that do not start
// with HC_ and are not DATABASE_URL are ignored. The error is an [*Error].
func Load(environ []string) (*Config, error) {
	return load(environ, readRegular)
}

// LoadOrg is Load for what needs no database: DATABASE_URL may be missing.
func LoadOrg(environ []string) (*Config, error) {
	return newEnvironment(environ, readRegular).load(false)
}

func load(environ []string, read readFile) (*Config, error) {
	return newEnvironment(environ, read).load(true)
}

// LoadDatabase is Load for what needs the database alone. Problems with how to
// log in to Salesforce are left out.
func LoadDatabase(environ []string) (*Config, error) {
	return newEnvironment(environ, readRegular).loadWithoutOrg(true)
}

// LoadSetup is Load for what needs neither side: a mapping is enough. Problems
// with how to log in to Salesforce are left out.
func LoadSetup(environ []string) (*Config, error) {
	return newEnvironment(environ, readRegular).loadWithoutOrg(false)
}

func (e *environment) loadWithoutOrg(needsDatabase bool) (*Config, error) {
	c := e.build(needsDatabase)
	e.problems = slices.DeleteFunc(e.problems, func(p Problem) bool { return strings.HasPrefix(p.Variable, "HC_SALESFORCE_") })
	if err := e.err(); err != nil {
		return nil, err
	}
	return c, nil
}

func (e *environment) load(needsDatabase bool) (*Config, error) {
	c := e.build(needsDatabase)
	if err := e.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// build returns the configuration, which is one only where no problem is found.
func (e *environment) build(needsDatabase bool) *Config {
	file := e.mappingFile()
	c := &Config{
		DatabaseURL:       e.databaseURL("DATABASE_URL"),
		ListenDatabaseURL: e.databaseURL("HC_LISTEN_DATABASE_URL"),
		Schema:            e.schema(),
		Salesforce:        e.salesforce(),
		PollInterval:      e.duration("HC_POLL_INTERVAL", minPoll, maxPoll),
		NumberType:        e.oneOf("HC_NUMBER_TYPE", NumberDouble, NumberNumeric),
		APIDailyBudget:    e.budget("HC_API_DAILY_BUDGET"),
		SynchronousCommit: e.oneOf("HC_SYNCHRONOUS_COMMIT", "off", "on") == "on",
		HTTPAddr:          e.httpAddr(),
		HTTPToken:         e.httpToken(),
		LogLevel:          e.oneOf("HC_LOG_LEVEL", "debug", "info", "warn", "error"),
		LogFormat:         e.oneOf("HC_LOG_FORMAT", "json", "console"),
		ShutdownGrace:     e.duration("HC_SHUTDOWN_GRACE", time.Second, 10*time.Minute),
		MappingFile:       file.text,
		MappingNotes:      file.notes,
		MappingOrgID:      file.orgID,
	}
	c.WriteAlgorithm = e.oneOf("HC_WRITE_ALGORITHM", WriteOrdered, WriteMerged)
	if e.value("HC_WRITE_ALGORITHM") == "" && file.writeAlgorithm != "" {
		c.WriteAlgorithm = file.writeAlgorithm
	}
	if c.ListenDatabaseURL == "" {
		c.ListenDatabaseURL = c.DatabaseURL
	}
	if needsDatabase && !e.given("DATABASE_URL") {
		e.add("DATABASE_URL", "not set: give a URL like postgres://user:password@host:5432/database")
	}
	c.Objects = e.objects(file.objects, c.PollInterval)
	e.refuseUnknown(objectNames(c.Objects))
	return c
}

// objects returns what is to be synced, each object's settings taken from its
// variables, else from the mapping file, else from the defaults.
func (e *environment) objects(fromFile []Object, pollInterval time.Duration) []Object {
	var objects []Object
	if e.value("HC_OBJECTS") == "" {
		objects = slices.Clone(fromFile)
	}
	for _, name := range e.list("HC_OBJECTS", isName, "an object's API name") {
		o := Object{Name: name}
		if i := slices.IndexFunc(fromFile, func(f Object) bool { return strings.EqualFold(f.Name, name) }); i >= 0 {
			o = fromFile[i]
			o.Name = name
		}
		objects = append(objects, o)
	}
	for i := range objects {
		if e.value("HC_POLL_INTERVAL") != "" {
			objects[i].PollInterval = 0 // an export always has one, and variables stand above it
		}
		e.override(&objects[i])
		if objects[i].PollInterval == 0 {
			objects[i].PollInterval = pollInterval
			objects[i].PollRelaxed = e.value("HC_POLL_INTERVAL") == ""
		}
	}
	return objects
}

// override sets what the object's variables say, and defaults where nobody
// said anything.
func (e *environment) override(o *Object) {
	variable := func(suffix string) string { return objectVariable(o.Name, suffix) }
	choose := func(have *string, suffix string, values ...string) {
		if set := e.choice(variable(suffix), e.value(variable(suffix)), values...); set != "" {
			*have = set
		}
		if *have == "" {
			v, _ := lookup(objectPlaceholder + suffix)
			*have = v.Default
		}
	}
	choose(&o.Mode, "MODE", ModeStreaming, ModeCDC, ModePolling)
	choose(&o.Access, "ACCESS", AccessReadOnly, AccessReadWrite)

	if fields := e.list(variable("FIELDS"), isField, "a field's API name"); len(fields) > 0 {
		o.Fields = fields
	}
	if indexes := e.list(variable("INDEXES"), isField, "a field's API name"); len(indexes) > 0 {
		o.Indexes = indexes
		for _, name := range indexes {
			if len(o.Fields) > 0 && !containsFold(o.Fields, name) && !alwaysMapped(name) && !strings.EqualFold(name, e.value(variable("EXTERNAL_ID"))) {
				e.add(variable("INDEXES"), "%s is not among the fields of %s: add it to %s", name, o.Name, variable("FIELDS"))
			}
		}
	}
	if id := e.value(variable("EXTERNAL_ID")); id != "" {
		if !isName(id) {
			e.add(variable("EXTERNAL_ID"), "%s is not a field's API name like External_Id__c", quote(id))
		}
		o.ExternalID = id
	}
	if e.value(variable("POLL_INTERVAL")) != "" {
		o.PollInterval = e.duration(variable("POLL_INTERVAL"), minPoll, maxPoll)
	}
}

// alwaysMapped reports whether a field is mapped whether it is asked for or
// not: syncing needs it.
func alwaysMapped(field string) bool {
	return containsFold([]string{"Id", "SystemModstamp", "IsDeleted"}, field)
}

func objectNames(objects []Object) []string {
	names := make([]string, len(objects))
	for i, o := range objects {
		names[i] = o.Name
	}
	return names
}
