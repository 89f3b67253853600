package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// On every width of terminal a table fits, and what matters most stays.
func TestTableFits(t *testing.T) {
	t.Parallel()
	rows := [][]string{
		{"Account", "streaming", "DATA_SYNCED", "read_only", "1204332", "1204331", "12", "0", "3 ms", "3s ago", "59m ago"},
		{"A_Rather_Long_Object_Name__c", "polling", "POLLING_SF_FOR_DELETES", "read_write", "?", "0", "100000", "7", "120000 ms", "-", "2h4m ago"},
	}
	for _, c := range []struct {
		width int
		heads []string // that are shown
	}{
		{0, []string{"OBJECT", "MODE", "STATE", "ACCESS", "SALESFORCE", "POSTGRES", "PENDING", "FAILED", "LAG", "LAST EVENT", "LAST POLL"}},
		{160, []string{"OBJECT", "MODE", "STATE", "ACCESS", "SALESFORCE", "POSTGRES", "PENDING", "FAILED", "LAG", "LAST EVENT", "LAST POLL"}},
		{110, []string{"OBJECT", "MODE", "STATE", "ACCESS", "SALESFORCE", "POSTGRES", "PENDING", "FAILED", "LAG"}},
		{80, []string{"OBJECT", "STATE", "SALESFORCE", "POSTGRES", "PENDING", "FAILED", "LAG"}},
		{60, []string{"OBJECT", "STATE", "PENDING", "FAILED", "LAG"}},
		{50, []string{"OBJECT", "STATE", "PENDING", "FAILED"}},
	} {
		var out bytes.Buffer
		writeTable(&out, c.width, statusColumns, rows)
		lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
		if got := strings.Fields(lines[0]); strings.Join(got, " ") != strings.Join(c.heads, " ") {
			t.Errorf("%d wide: heads are %v, want %v", c.width, got, c.heads)
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); c.width > 0 && n > c.width {
				t.Errorf("%d wide: a line has %d characters:\n%s", c.width, n, line)
			}
		}
		if !strings.Contains(out.String(), "100000") || !strings.Contains(out.String(), "Account ") {
			t.Errorf("%d wide: the counts or the names are gone:\n%s", c.width, out.String())
		}
		if whole := strings.Contains(out.String(), "A_Rather_Long_Object_Name__c"); whole != (c.width == 0 || c.width >= 160) {
			t.Errorf("%d wide: the long name is whole: %v", c.width, whole)
		}
	}
}

// What a record says neither breaks the table nor commands the terminal.
func TestTableIsTame(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	writeTable(&out, 40, failureColumns, [][]string{{"2026-01-01T00:00:00Z", "out", "42", "Account", "1", "001xx0000000001AAA", "evil \x1b[2J\nsecond line \u009b31m of a very long message"}})
	if got := out.String(); strings.Count(got, "\n") != 2 || strings.ContainsAny(got, "\x1b\u009b") || !strings.Contains(got, "42") || !strings.Contains(got, "evil") {
		t.Errorf("printed %q", got)
	}
}

func TestShorten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		most int
		want string
	}{{"Zürich", 6, "Zürich"}, {"Zürich", 5, "Züri…"}, {"Zürich", 1, "…"}, {"Zürich", 0, ""}} {
		if got := shorten(c.text, c.most); got != c.want {
			t.Errorf("%q to %d is %q, want %q", c.text, c.most, got, c.want)
		}
	}
}
