package e2e

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	testrig "hcbridge/test/rig"
)

// pooled starts pgbouncer in transaction mode, with few connections to the
// server so that clients really share them, and returns the address of the
// rig's database behind it.
func (r *rig) pooled() string {
	r.T.Helper()
	u, err := url.Parse(r.URL)
	r.Must(err)
	host, port, err := net.SplitHostPort(freeAddr(r.T))
	r.Must(err)
	password, _ := u.User.Password()
	dir, err := os.MkdirTemp("", "hcbridge-bouncer-")
	r.Must(err)
	r.T.Cleanup(func() { _ = os.RemoveAll(dir) })
	r.Must(os.Chmod(dir, 0o755))
	config := filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Sprintf("[databases]\n* = host=%s port=%s user=%s password=%s\n[pgbouncer]\nlisten_addr = %s\nlisten_port = %s\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 4\n",
		u.Hostname(), u.Port(), u.User.Username(), password, host, port)
	r.Must(os.WriteFile(config, []byte(text), 0o644))
	args := []string{"-q", config}
	if os.Geteuid() == 0 {
		args = append([]string{"-q", "-u", "nobody"}, config)
	}
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // where Debian puts it, and not all look
	}
	cmd := exec.Command(program, args...) //nolint:noctx // it is ended by a signal
	var log testrig.Buffer
	cmd.Stderr = &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r.Must(cmd.Start())
	r.T.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	u.Host = net.JoinHostPort(host, port)
	r.Until("pgbouncer", 10*time.Second, func() error {
		conn, err := net.Dial("tcp", u.Host) //nolint:noctx // on loopback
		if err != nil {
			return fmt.Errorf("%w\n%s", err, log.Tail(1000))
		}
		return conn.Close()
	})
	return u.String()
}

// The whole bridge works behind a pooler in transaction mode: at once with a
// direct connection to listen on, and by polling without. The app is behind the
// same pooler and so gets the bridge's sessions, in which nothing may be left over:
// what hides the bridge's writes would hide the app's (fault 86).
func TestPooler(t *testing.T) {
	t.Parallel()
	for _, direct := range []bool{true, false} {
		t.Run(map[bool]string{true: "with a direct connection for LISTEN", false: "alone"}[direct], func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "HC_OBJECTS=Account,Contact", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_CONTACT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_EXTERNAL_ID=External_Id__c",
				"HC_OBJECT_ACCOUNT_FIELDS=Name,Industry,AnnualRevenue,External_Id__c", "HC_OBJECT_CONTACT_FIELDS=LastName,AccountId")
			r.Env["DATABASE_URL"] = r.pooled()
			if direct {
				r.Env["HC_LISTEN_DATABASE_URL"] = r.URL
			}
			for i := range 50 {
				r.Insert("Account", map[string]any{"Name": fmt.Sprint(i), "AnnualRevenue": 1.5})
			}
			cfg, err := pgxpool.ParseConfig(r.Env["DATABASE_URL"])
			r.Must(err)
			cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
			app, err := pgxpool.NewWithConfig(t.Context(), cfg)
			r.Must(err)
			t.Cleanup(app.Close)
			written := 0
			writes := func(sql string, args ...any) {
				t.Helper()
				tag, err := app.Exec(t.Context(), sql, args...)
				r.Must(err)
				written += int(tag.RowsAffected())
			}
			b := r.Start()
			r.Synced()
			_, out, _ := r.Command("check")
			if !strings.Contains(out, "passes a pooler") || strings.Contains(out, "notifications do not arrive") == direct {
				t.Errorf("check says:\n%s", out)
			}
			for i := range 20 {
				writes(`INSERT INTO salesforce.account (name, external_id__c) VALUES ($1, $1)`, fmt.Sprintf("ours %d", i))
				writes(`INSERT INTO salesforce.contact (lastname) VALUES ($1)`, fmt.Sprint(i))
				writes(`UPDATE salesforce.account SET industry = 'x' || id WHERE id % 7 = $1 % 7`, i)
				r.Insert("Account", map[string]any{"Name": fmt.Sprintf("theirs %d", i)})
			}
			writes(`DELETE FROM salesforce.contact WHERE lastname = '3'`)
			r.Equal("Account", "Contact")
			for i := range 20 { // beside what is written down and read back of the one before
				writes(`UPDATE salesforce.account SET industry = 'again ' || $1`, fmt.Sprint(i))
			}
			r.Equal("Account", "Contact")
			if n := r.Count(`SELECT (SELECT count(*) FROM salesforce._trigger_log) + (SELECT count(*) FROM salesforce._trigger_log_archive)`); n != written {
				t.Errorf("%d changes were captured of %d", n, written)
			}
			if code, out, stderr := r.Command("reload", "Account"); code != 0 {
				t.Errorf("reload: %s%s", out, stderr)
			}
			r.Equal("Account", "Contact")
			for line := range strings.Lines(b.Log.String()) {
				if strings.Contains(line, "prepared statement") {
					t.Errorf("something was prepared: %s", line)
				}
			}
		})
	}
}
