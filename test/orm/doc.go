// Package orm runs apps on other people's object-relational mappers against a
// schema that the bridge keeps, with the models their users would write for a
// Heroku Connect schema and nothing made for the bridge:
//
//	ActiveRecord  Django  SQLAlchemy  Sequelize  Prisma  GORM
//	      │          │        │           │         │      │
//	      └──────────┴────────┴─────┬─────┴─────────┴──────┘
//	                                ▼
//	                   Postgres ◀─ hcbridge ─▶ test/org
//
// Each app is a program of its own in testdata that answers commands, one line
// of JSON each; all do the same story (story_test.go) at the same time, on one
// bridge. Most apps look for names in the schema of the tables alone, which is
// what used to break Heroku Connect's triggers.
//
// The mappers for Ruby and Python are those of the system (scripts/need.sh
// installs them); those for Node.js and Go come with the exact versions of the
// app's own package.json or go.mod, once, into the user's cache directory. Prisma
// generates its client there, with a query compiler that comes from npm.
package orm
