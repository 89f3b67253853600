package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/bench/figure"
	"hcbridge/test/org"
	"hcbridge/test/org/bulk"
	"hcbridge/test/org/sobject"
	"hcbridge/test/pgtest"
)

// fields are the twenty that are loaded, in the order of the CSV.
var fields = strings.Split("Id,FirstName,LastName,MailingStreet,MailingCity,MailingPostalCode,MailingCountry,Phone,MobilePhone,Email,"+
	"Title,Department,LeadSource,Birthdate,Description,HasOptedOutOfEmail,MailingLatitude,CreatedDate,SystemModstamp,IsDeleted", ",")

// writeCSV writes n contacts as Bulk API 2.0 does. A fifth of the values is null.
func writeCSV(path string, n int) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(file, 1<<20)
	fmt.Fprintf(w, "\"%s\"\n", strings.Join(fields, `","`))
	for i := range n {
		some := func(text string, every int) string {
			if i%every == 0 {
				return ""
			}
			return text
		}
		fmt.Fprintf(w, "\"%s\",\"%s\",\"Lastname %d\",\"%s\",\"San Francisco\",\"%05d\",\"%s\",\"+1 415 %07d\",\"%s\",\"person%d@example.com\","+
			"\"%s\",\"%s\",\"Web\",\"%s\",\"%s\",\"%t\",\"%s\",\"2024-%02d-%02dT10:11:12.000Z\",\"2025-%02d-%02dT%02d:11:12.000Z\",\"false\"\n",
			sfid(i), some("Firstname", 7), i, some(fmt.Sprintf("%d Market Street\nFloor %d", i, i%40), 5), i%100_000, some("United States", 6), i, some("+1 628 5550199", 3), i,
			some("Chief \"\"Everything\"\" Officer", 4), some("Research and Development", 5), some("1980-02-29", 8),
			some("Met at the conference, wants a call back", 3), i%2 == 0, some("37.7749", 9), i%12+1, i%28+1, i%12+1, i%28+1, i%24)
	}
	return errors.Join(w.Flush(), file.Close())
}

// sfid is the id of contact i, with its check characters.
func sfid(i int) string {
	id := fmt.Sprintf("003Hc%010d", i)
	return id + "CAA" // capitals: H, the fourth
}

// rig is a server with fsync, an org with prepared results, and a database.
type rig struct {
	b    *testing.B
	pg   *pgtest.Server
	sf   *org.Server
	csv  string
	rows int
}

func newRig(b *testing.B, rows int) *rig {
	b.Helper()
	r := &rig{b: b, rows: rows, csv: filepath.Join(b.TempDir(), "contacts.csv")}
	r.must(writeCSV(r.csv, rows))
	r.pg = pgtest.Private(b, pgtest.Options{Fsync: true, Settings: map[string]string{
		"shared_buffers": "2GB", "max_wal_size": "16GB", "checkpoint_timeout": "1h", "autovacuum": "off",
	}})
	r.sf = org.New(org.Options{DailyLimit: 1_000_000}).Start()
	b.Cleanup(r.sf.Close)
	_, err := r.sf.InsertMany("Contact", func(yield func(map[string]any) bool) {
		for i := range 2001 { // so many that the Bulk API is used
			if !yield(map[string]any{"LastName": strconv.Itoa(i)}) {
				return
			}
		}
	})
	r.must(err)
	r.must(r.sf.Jobs().Prepare("Contact", r.csv))
	return r
}

func (r *rig) must(err error) {
	r.b.Helper()
	if err != nil {
		r.b.Fatal(err)
	}
}

// database makes an empty one.
func (r *rig) database(name string) (url string, conn *pgx.Conn) {
	r.b.Helper()
	url, err := r.pg.CreateDatabase(r.b.Context(), name)
	r.must(err)
	conn, err = pgx.Connect(r.b.Context(), url)
	r.must(err)
	r.b.Cleanup(func() {
		_ = conn.Close(context.Background())
		_ = r.pg.DropDatabase(context.Background(), name)
	})
	return url, conn
}

// bridge runs the program until it has loaded, and returns how long the load
// took by its own log, the CPU time of the process, and its peak of resident
// memory in MB.
func (r *rig) bridge(url, access string) (took, cpu time.Duration, peak int) {
	r.b.Helper()
	cmd := exec.Command(binary, "run") //nolint:noctx // ended by a signal
	cmd.Env = []string{
		"DATABASE_URL=" + url, "HC_SALESFORCE_LOGIN_URL=" + r.sf.URL(),
		"HC_SALESFORCE_CLIENT_ID=" + org.DefaultClientID, "HC_SALESFORCE_CLIENT_SECRET=" + org.DefaultClientSecret,
		"HC_SALESFORCE_USERNAME=" + org.DefaultUsername, "HC_SALESFORCE_PASSWORD=" + org.DefaultPassword,
		"HC_OBJECTS=Contact", "HC_OBJECT_CONTACT_ACCESS=" + access, "HC_OBJECT_CONTACT_FIELDS=" + strings.Join(fields, ","),
		"HC_HTTP_ADDR=", "HC_POLL_INTERVAL=24h",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	r.must(err)
	r.must(cmd.Start())
	var all bytes.Buffer
	var once sync.Once
	end := func() { once.Do(func() { _ = cmd.Process.Signal(syscall.SIGTERM) }) }
	for lines := bufio.NewScanner(io.TeeReader(stderr, &all)); lines.Scan(); {
		var entry struct {
			Event string  `json:"event"`
			Took  float64 `json:"took_ms"`
		}
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Event == "loaded" {
			took = time.Duration(entry.Took * float64(time.Millisecond))
			peak = vmHWM(cmd.Process.Pid)
			end()
		}
	}
	_ = cmd.Wait()
	if took == 0 {
		r.b.Fatalf("nothing was loaded:\n%s", all.String())
	}
	return took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), peak
}

// vmHWM is the peak of a process's resident memory in MB, as Linux counts it.
func vmHWM(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kB int
	_, _ = fmt.Sscan(rest, &kB)
	return kB / 1024
}

// columns are the table's columns in the order of the CSV.
func columns() string {
	return strings.ToLower(strings.Replace(strings.Join(fields, ", "), "Id,", "sfid,", 1))
}

// empty empties the table and has the next bridge load it, and keeps what is to be
// measured free of the past.
func (r *rig) empty(conn *pgx.Conn) {
	r.b.Helper()
	_, err := conn.Exec(r.b.Context(), "BEGIN; SET LOCAL xmlbinary = 'hex'; TRUNCATE salesforce.contact, hcbridge.object, hcbridge.position, hcbridge.mark; COMMIT")
	r.must(err)
	_, err = conn.Exec(r.b.Context(), "CHECKPOINT")
	r.must(err)
}

// psql copies the CSV, untouched by the triggers' capture, as the bridge does.
func (r *rig) psql(url string) (took, cpu time.Duration) {
	r.b.Helper()
	began := time.Now()
	cmd := exec.CommandContext(r.b.Context(), "psql", "-X", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", "SET xmlbinary = 'hex'",
		"-c", fmt.Sprintf(`\copy salesforce.contact (%[1]s) FROM '%[2]s' WITH (FORMAT csv, HEADER true, FORCE_NULL (%[1]s))`, columns(), r.csv))
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.b.Fatalf("psql: %v\n%s", err, out)
	}
	return time.Since(began), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// inserts writes the first rows of the CSV by batches of 1,000 INSERTs.
func (r *rig) inserts(conn *pgx.Conn, rows int) time.Duration {
	r.b.Helper()
	file, err := os.Open(r.csv)
	r.must(err)
	defer file.Close()
	in := csv.NewReader(file)
	in.ReuseRecord = true
	_, err = in.Read()
	r.must(err)
	marks := make([]string, len(fields))
	for i := range marks {
		marks[i] = fmt.Sprintf("nullif($%d::text, '')::%s", i+1, map[string]string{
			"Birthdate": "date", "HasOptedOutOfEmail": "boolean", "MailingLatitude": "float8", "CreatedDate": "timestamp", "SystemModstamp": "timestamp", "IsDeleted": "boolean",
		}[fields[i]])
		marks[i] = strings.TrimSuffix(marks[i], "::")
	}
	sql := fmt.Sprintf("INSERT INTO salesforce.contact (%s) VALUES (%s)", columns(), strings.Join(marks, ", "))
	ctx := r.b.Context()
	_, err = conn.Exec(ctx, "SET xmlbinary = 'hex'")
	r.must(err)
	began := time.Now()
	for done := 0; done < rows; {
		batch := &pgx.Batch{}
		for ; done < rows && batch.Len() < 1000; done++ {
			record, err := in.Read()
			r.must(err)
			args := make([]any, len(record))
			for i, v := range record {
				args[i] = v
			}
			batch.Queue(sql, args...)
		}
		r.must(conn.SendBatch(ctx, batch).Close())
	}
	return time.Since(began)
}

// fetch is what the simulated org alone costs: the file, by pages, thrown away.
func (r *rig) fetch() time.Duration {
	r.b.Helper()
	// A server of the same kind without the org's sign-on around it.
	jobs := bulk.New(bulk.Config{Org: sobject.NewOrg(sobject.NewMemory(), nil)})
	defer jobs.Close()
	r.must(jobs.Prepare("Account", r.csv))
	server := httptest.NewServer(jobs)
	defer server.Close()
	base := server.URL + "/services/data/v64.0/jobs/query"
	resp, err := http.Post(base, "application/json", strings.NewReader(`{"operation":"query","query":"SELECT Id FROM Account"}`)) //nolint:noctx // local
	r.must(err)
	var job struct{ ID string }
	r.must(errors.Join(json.NewDecoder(resp.Body).Decode(&job), resp.Body.Close()))
	began := time.Now()
	for locator := ""; locator != "null"; {
		resp, err := http.Get(base + "/" + job.ID + "/results?maxRecords=50000&locator=" + locator) //nolint:noctx // local
		r.must(err)
		if resp.StatusCode == http.StatusBadRequest { // not complete yet
			r.must(resp.Body.Close())
			continue
		}
		locator = resp.Header.Get("Sforce-Locator")
		_, err = io.Copy(io.Discard, resp.Body)
		r.must(errors.Join(err, resp.Body.Close()))
	}
	return time.Since(began)
}

// postgres is the CPU time that the server of conn has used, with all of its
// processes, past and present.
func (r *rig) postgres(conn *pgx.Conn) time.Duration {
	r.b.Helper()
	postmaster := stat(fmt.Sprint(conn.PgConn().PID()))[1]
	sum := 0
	add := func(fields []string, from, to int) {
		for _, f := range fields[from:to] {
			n, _ := strconv.Atoi(f)
			sum += n
		}
	}
	add(stat(postmaster), 11, 15) // its own, and that of children that have ended
	pids, err := os.ReadDir("/proc")
	r.must(err)
	for _, p := range pids {
		if fields := stat(p.Name()); len(fields) > 13 && fields[1] == postmaster {
			add(fields, 11, 13)
		}
	}
	const tick = 10 * time.Millisecond
	return time.Duration(sum) * tick
}

// stat are the fields of a process after its name: state, parent, …
func stat(pid string) []string {
	text, _ := os.ReadFile("/proc/" + pid + "/stat")
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

func median(samples []float64) float64 {
	slices.Sort(samples)
	return samples[len(samples)/2]
}

// BenchmarkLoad loads HCBRIDGE_BENCH_ROWS contacts (default 1,000,000),
// HCBRIDGE_BENCH_RUNS times (default 3).
func BenchmarkLoad(b *testing.B) {
	rows, runs := setting("HCBRIDGE_BENCH_ROWS", 1_000_000), setting("HCBRIDGE_BENCH_RUNS", 3)
	r := newRig(b, rows)
	for _, access := range []string{"read_only", "read_write"} {
		b.Run(access, func(b *testing.B) {
			for b.Loop() {
				r.b = b
				r.compare(b, access, runs)
			}
		})
	}
}

func (r *rig) compare(b *testing.B, access string, runs int) {
	perSecond := func(rows int, took time.Duration) float64 { return float64(rows) / took.Seconds() }
	var ours, theirs, naive, ratio, cpu []float64
	peaks := 0
	b.Logf("the org alone: %.2f s", r.fetch().Seconds())
	url, conn := r.database("load_" + access)
	r.bridge(url, access) // makes the table, and is not counted
	for i := range runs {
		var took, used, copied, usedByCopy time.Duration
		var peak int
		bridge := func() {
			r.empty(conn)
			before := r.postgres(conn)
			took, used, peak = r.bridge(url, access)
			used += r.postgres(conn) - before
			var n int
			r.must(conn.QueryRow(b.Context(), "SELECT count(*) FROM salesforce.contact").Scan(&n))
			if n < r.rows {
				b.Fatalf("%d rows, want %d", n, r.rows)
			}
		}
		psql := func() {
			r.empty(conn)
			before := r.postgres(conn)
			copied, usedByCopy = r.psql(url)
			usedByCopy += r.postgres(conn) - before
		}
		first, second := bridge, psql
		if i%2 == 1 { // what the first leaves behind must not always be the other's burden
			first, second = psql, bridge
		}
		first()
		second()
		r.empty(conn)
		inserted := r.inserts(conn, r.rows/10)
		ours, theirs = append(ours, perSecond(r.rows, took)), append(theirs, perSecond(r.rows, copied))
		naive, ratio = append(naive, perSecond(r.rows/10, inserted)), append(ratio, took.Seconds()/copied.Seconds())
		cpu = append(cpu, used.Seconds()/usedByCopy.Seconds())
		peaks = max(peaks, peak)
		load, _ := os.ReadFile("/proc/loadavg")
		b.Logf("run %d: bridge %.2f s (CPU %.2f s), \\copy %.2f s (CPU %.2f s), ratio %.2f (CPU %.2f), inserts %.0f rows/s, peak %d MB, load %s", i+1, took.Seconds(), used.Seconds(),
			copied.Seconds(), usedByCopy.Seconds(), took.Seconds()/copied.Seconds(), cpu[i], naive[i], peak, bytes.TrimSpace(load))
	}
	for i := range ours {
		figure.Keep(b, figure.Figure{Job: "initial load", What: fmt.Sprintf("%d rows, %s; the bound: psql's \\copy of the CSV, naive: batches of INSERT", r.rows, access), Unit: "rows/s", Ours: ours[i], Bound: theirs[i], Naive: naive[i], Goals: []figure.Goal{{Of: "bound", AtLeast: 1}, {Of: "naive", AtLeast: 5}}})
	}
	figure.Keep(b, figure.Figure{Job: "initial load", What: "most memory, " + access, Unit: "MB", Ours: float64(peaks), Goals: []figure.Goal{{AtMost: 64}}})
	b.ReportMetric(median(ours), "rows/s")
	b.ReportMetric(median(theirs), `copy-rows/s`)
	b.ReportMetric(median(naive), "insert-rows/s")
	b.ReportMetric(median(ratio), "of-copy")
	b.ReportMetric(median(cpu), "CPU-of-copy")
	b.ReportMetric(float64(peaks), "peak-MB")
	b.ReportMetric(0, "ns/op")
}

func setting(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}
