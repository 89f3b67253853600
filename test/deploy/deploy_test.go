package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hcbridge/config"
	"hcbridge/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

const root = "../../"

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(root + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tool runs a checker in a folder and returns what it says.
func tool(t *testing.T, dir, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

const jwtKey = "HC_SALESFORCE_JWT_KEY_FILE"

// loads tells whether the program takes the settings of a manifest. Files of
// secrets, which a manifest names but which only exist where it runs, are given
// here; names lists those that exist there.
func loads(t *testing.T, env map[string]string, names ...string) {
	t.Helper()
	dir := t.TempDir()
	var environ []string
	for name, value := range env {
		if strings.HasSuffix(name, "_FILE") && name != "HC_MAPPING_FILE" {
			base := filepath.Base(value)
			if !slices.Contains(names, base) {
				t.Errorf("%s is %s, and nothing puts a file there", name, value)
			}
			secret := "secret"
			switch name {
			case "DATABASE_URL_FILE":
				secret = "postgres://user:password@host:5432/database"
			case jwtKey:
				secret = key(t)
			}
			value = filepath.Join(dir, base)
			if err := os.WriteFile(value, []byte(secret), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		environ = append(environ, name+"="+value)
	}
	if _, err := config.Load(environ); err != nil {
		t.Errorf("the settings do not load: %v", err)
	}
}
