package deploy

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// compose resolves docker-compose.yml in a copy of its folder, where .env is as
// given, with Docker's plugin or Debian's docker-compose, whichever is there.
func compose(t *testing.T, env string) (c composeFile) {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"docker-compose.yml": read(t, "docker-compose.yml"), ".env.example": read(t, ".env.example")}
	if env != "" {
		files[".env"] = env
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := []string{"docker", "compose"}
	if exec.CommandContext(t.Context(), "docker", "compose", "version").Run() != nil {
		command = []string{"docker-compose"}
	}
	out := tool(t, dir, "", command[0], append(command[1:], "--profile", "try", "config")...)
	if err := yaml.Unmarshal([]byte(out), &c); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return c
}

type composeFile struct {
	Services map[string]struct {
		Environment     map[string]string
		Image           string
		Build           struct{ Target string }
		ReadOnly        bool                                  `yaml:"read_only"`
		CapDrop         []string                              `yaml:"cap_drop"`
		SecurityOpt     []string                              `yaml:"security_opt"`
		StopGracePeriod string                                `yaml:"stop_grace_period"`
		NetworkMode     string                                `yaml:"network_mode"`
		DependsOn       map[string]struct{ Condition string } `yaml:"depends_on"`
		Command         []string
		Ports           []any
	}
}

func TestCompose(t *testing.T) {
	t.Parallel()

	// As the README says: copy .env.example, and fill in what has no default.
	c := compose(t, read(t, ".env.example")+`
HC_SALESFORCE_LOGIN_URL=https://acme.my.salesforce.com
HC_SALESFORCE_CLIENT_ID=id
HC_SALESFORCE_CLIENT_SECRET=secret
HC_OBJECTS=Account
HC_OBJECT_ACCOUNT_ACCESS=read_write
`)
	bridge := c.Services["hcbridge"]
	if bridge.Environment["HC_OBJECT_ACCOUNT_ACCESS"] != "read_write" {
		t.Errorf(".env does not reach the bridge: %v", bridge.Environment)
	}
	for _, name := range []string{"hcbridge", "try"} {
		env := maps.Clone(c.Services[name].Environment)
		delete(env, "BRIDGE_ENV_FILE")
		loads(t, env)
		if !strings.Contains(env["DATABASE_URL"], "@postgres:5432/") || c.Services[name].DependsOn["postgres"].Condition != "service_healthy" {
			t.Errorf("%s does not wait for the database that it uses: %s", name, env["DATABASE_URL"])
		}
		if env["HC_HTTP_ADDR"] != ":8080" {
			t.Errorf("%s listens on %q", name, env["HC_HTTP_ADDR"])
		}
	}
	for _, name := range []string{"hcbridge", "try", "orgsim"} {
		s := c.Services[name]
		if !s.ReadOnly || len(s.CapDrop) != 1 || s.CapDrop[0] != "ALL" || len(s.SecurityOpt) != 1 {
			t.Errorf("%s may too much: %+v", name, s)
		}
		if !strings.Contains(read(t, "Dockerfile"), " AS "+s.Build.Target+"\n") {
			t.Errorf("%s is built from target %q, which the Dockerfile does not have", name, s.Build.Target)
		}
	}
	if bridge.StopGracePeriod != "30s" {
		t.Errorf("the bridge is given %q to stop, want longer than HC_SHUTDOWN_GRACE", bridge.StopGracePeriod)
	}
	if c.Services["try"].NetworkMode != "service:orgsim" {
		t.Errorf("the bridge to try cannot reach the simulated org: %q", c.Services["try"].NetworkMode)
	}
	for name, s := range c.Services {
		for _, port := range s.Ports {
			if text := fmt.Sprint(port); !strings.Contains(text, "127.0.0.1") {
				t.Errorf("%s is open to other machines: %s", name, text)
			}
		}
	}

	// A database of one's own.
	c = compose(t, "DATABASE_URL=postgres://me@elsewhere/db\nBRIDGE_ENV_FILE=.env\n")
	if got := c.Services["hcbridge"].Environment["DATABASE_URL"]; got != "postgres://me@elsewhere/db" {
		t.Errorf("DATABASE_URL of .env becomes %q", got)
	}
	// Its URL in a file: the two together are refused.
	file := regexp.MustCompile(`(?m)^DATABASE_URL=.*$`).ReplaceAllString(read(t, ".env.example"), "DATABASE_URL_FILE=/run/secrets/database-url")
	env := compose(t, file).Services["hcbridge"].Environment
	if url, set := env["DATABASE_URL"]; set || env["DATABASE_URL_FILE"] != "/run/secrets/database-url" {
		t.Errorf("beside the file %q DATABASE_URL is %q", env["DATABASE_URL_FILE"], url)
	}
	// Before .env is there, the file is still good: for the profile "try" alone.
	if c = compose(t, ""); c.Services["try"].Image == "" {
		t.Error("no service to try without .env")
	}
}
