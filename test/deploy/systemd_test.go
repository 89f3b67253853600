package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// systemd loads the unit, and finds that it gives away little.
func TestSystemd(t *testing.T) {
	t.Parallel()
	unit := read(t, "deploy/hcbridge.service")
	credentials := map[string]bool{}
	env := map[string]string{
		"HC_SALESFORCE_CLIENT_ID": "id", "HC_SALESFORCE_USERNAME": "bridge@acme.com", "HC_OBJECTS": "Account", // of /etc/hcbridge/env
	}
	for line := range strings.Lines(unit) {
		line = strings.TrimSpace(line)
		if credential, ok := strings.CutPrefix(line, "LoadCredential="); ok {
			name, path, _ := strings.Cut(credential, ":")
			credentials[name] = true
			if !strings.Contains(unit, "# ") || path != "/etc/hcbridge/"+name || strings.Count(unit, path) < 2 {
				t.Errorf("%s is not among the files that the unit says to make", path)
			}
		}
		if setting, ok := strings.CutPrefix(line, "Environment="); ok {
			name, value, _ := strings.Cut(setting, "=")
			if !strings.HasPrefix(value, "%d/") {
				t.Errorf("%s is no credential", line)
			}
			env[name] = value
		}
	}
	var names []string
	for name := range credentials {
		names = append(names, name)
	}
	loads(t, env, names...)
	for _, want := range []string{"\nRestartPreventExitStatus=2\n", "\nTimeoutStopSec=30\n", "\nDynamicUser=yes\n"} {
		if !strings.Contains(unit, want) {
			t.Errorf("the unit lacks %s", strings.TrimSpace(want))
		}
	}

	// It is verified with a program that is there.
	path := filepath.Join(t.TempDir(), "hcbridge.service")
	if err := os.WriteFile(path, []byte(strings.Replace(unit, "/usr/local/bin/hcbridge run", "/bin/true", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := tool(t, "", "", "systemd-analyze", "verify", "--man=no", path); strings.Contains(out, "hcbridge.service") {
		t.Errorf("systemd: %s", out)
	}
	tool(t, "", "", "systemd-analyze", "security", "--offline=yes", "--threshold=20", path) // of 100
}
