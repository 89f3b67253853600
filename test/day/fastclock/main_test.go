package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// This version of Go is one that is known.
func TestOverlay(t *testing.T) {
	dir := t.TempDir()
	if err := run("60", dir); err != nil {
		t.Fatal(err)
	}
	var overlay struct{ Replace map[string]string }
	text, err := os.ReadFile(filepath.Join(dir, "overlay.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &overlay); err != nil || len(overlay.Replace) != 6 {
		t.Errorf("%v, %v", overlay, err)
	}
	if err := run("fast", dir); err == nil {
		t.Error("a clock runs fast times as fast")
	}
}
