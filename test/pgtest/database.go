package pgtest

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// URL returns the address of the server's maintenance database, as a
// superuser on a private server. It contains a password.
func (s *Server) URL() string { return s.base.String() }

// DatabaseURL returns the address of the database name, which need not exist.
func (s *Server) DatabaseURL(name string) string {
	u := *s.base
	u.Path = "/" + name
	return u.String()
}

// CreateDatabase makes an empty database with hstore installed in schema
// public, and returns its address.
func (s *Server) CreateDatabase(ctx context.Context, name string) (string, error) {
	// template0 is never in use, so parallel creations do not collide.
	return s.createBy(ctx, name, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE template0")
}

func (s *Server) createBy(ctx context.Context, name, create string) (string, error) {
	if err := execute(ctx, s.URL(), create); err != nil {
		return "", fmt.Errorf("pgtest: create database %s: %w", name, err)
	}
	address := s.DatabaseURL(name)
	if err := execute(ctx, address, "CREATE EXTENSION hstore SCHEMA public"); err != nil {
		return "", fmt.Errorf("pgtest: create extension hstore in %s: %w", name, err)
	}
	return address, nil
}

// CreateEncoded is CreateDatabase for a database in another encoding than UTF8.
func (s *Server) CreateEncoded(ctx context.Context, name, encoding string) (string, error) {
	create := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize() + " TEMPLATE template0 ENCODING '" + encoding + "' LC_COLLATE 'C' LC_CTYPE 'C'"
	return s.createBy(ctx, name, create)
}

// DropDatabase removes a database, disconnecting whoever uses it. One that
// does not exist is no error.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	drop := "DROP DATABASE IF EXISTS " + pgx.Identifier{name}.Sanitize() + " WITH (FORCE)"
	if err := execute(ctx, s.URL(), drop); err != nil {
		return fmt.Errorf("pgtest: drop database %s: %w", name, err)
	}
	return nil
}

// execute runs one statement on a connection of its own.
func execute(ctx context.Context, address, sql string) (err error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, sql)
	return err
}

// text asks for one value on a connection of its own.
func text(ctx context.Context, address, sql string) (value string, err error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = conn.QueryRow(ctx, sql).Scan(&value)
	return value, err
}
