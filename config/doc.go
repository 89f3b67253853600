// Package config turns the environment, and the mapping file that it may name,
// into values that need no further checking.
//
//	environment ─▶ known names ─▶ X or X_FILE ─▶ values in bounds ─┐
//	HC_MAPPING_FILE (a Heroku Connect export) ─▶ objects ──────────┴─▶ Config
//	                        │
//	                        └─ anything wrong ─▶ *Error, all problems at once
//
// [Reference] lists every variable with its default and meaning. Load takes the
// names and the defaults from it, and tests hold the README and .env.example
// to it, so there is one place to change. [Env] and [Mapping] write objects in
// the two forms that are read; [Objects] reads the first of them alone.
//
// # Precedence
//
// HC_OBJECTS, where set, says which objects are synced, whatever the mapping
// file holds; without it the file's objects are. For one object a variable
// HC_OBJECT_<NAME>_* beats the file, and the file beats the default. A
// variable that is empty counts as not set, HC_HTTP_ADDR excepted, for which
// empty means off.
//
// # Secrets
//
// A [Secret] does not print. No error of this package quotes the value of a
// secret, of the file that holds it, or of a URL.
//
// # Errors
//
// Load returns [*Error] with one [Problem] for each thing that is wrong, sorted
// by variable, each with its remedy. Restarting cannot heal any of them.
//
// # Concurrency
//
// Load only reads. A Config is plain data: share it, but do not change it.
package config
