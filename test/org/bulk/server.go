package bulk

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"hcbridge/test/org/sobject"
)

// Config tunes a Server. Org is required, the zero value of any other field
// means its default.
type Config struct {
	Org *sobject.Org

	// User returns the id of the user who sent a request that is already
	// authenticated. Default: the integration user.
	User func(*http.Request) string

	// Visible is the user's field-level security for reading. Default: all
	// fields can be read.
	Visible func(user string, ob *sobject.Object, f *sobject.Field) bool

	// Store is what a user sees of the org's records. Default: everything.
	Store func(user string, all sobject.Store) sobject.Store

	// HardDelete reports whether a user has the permission "Bulk API Hard
	// Delete". Default: everybody has it.
	HardDelete func(user string) bool

	Clock func() time.Time // of dates in jobs; default the org's

	// QueryDelay and IngestDelay say how long a job stays in a state,
	// "UploadComplete" or "InProgress". Default: not at all.
	QueryDelay, IngestDelay func(state string) time.Duration

	PageSize    int    // rows of a results page without maxRecords; default 50,000
	MemoryLimit int    // bytes of a query result kept in memory; default 1 MiB
	NoShuffle   bool   // keep ingest results in the order of the rows
	Seed        uint64 // of the order of ingest results; default 1
}

// Server answers /services/data/vNN.0/jobs/query and .../jobs/ingest. It is an
// [http.Handler] behind the org's authentication.
type Server struct {
	cfg    Config
	ctx    context.Context //nolint:containedctx // the life of jobs, which outlive their requests
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	random *rand.Rand
	jobs   map[string]*job
	order  []*job // oldest first
	made   uint64
	// prepared are results by lower-case object.
	prepared map[string]*spool
	faults
}

// New returns a server. It listens nowhere: mount it.
func New(cfg Config) *Server {
	if cfg.User == nil {
		cfg.User = func(*http.Request) string { return cfg.Org.Integration() }
	}
	if cfg.Store == nil {
		cfg.Store = func(_ string, all sobject.Store) sobject.Store { return all }
	}
	if cfg.Visible == nil {
		cfg.Visible = func(string, *sobject.Object, *sobject.Field) bool { return true }
	}
	if cfg.HardDelete == nil {
		cfg.HardDelete = func(string) bool { return true }
	}
	if cfg.Clock == nil {
		cfg.Clock = cfg.Org.Now
	}
	none := func(string) time.Duration { return 0 }
	if cfg.QueryDelay == nil {
		cfg.QueryDelay = none
	}
	if cfg.IngestDelay == nil {
		cfg.IngestDelay = none
	}
	if cfg.PageSize == 0 {
		cfg.PageSize = 50_000
	}
	if cfg.MemoryLimit == 0 {
		cfg.MemoryLimit = 1 << 20
	}
	if cfg.Seed == 0 {
		cfg.Seed = 1
	}
	s := &Server{cfg: cfg, jobs: map[string]*job{}, prepared: map[string]*spool{}, random: rand.New(rand.NewPCG(cfg.Seed, 0x62756c6b))}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Close ends running jobs and waits for them. Results are gone.
func (s *Server) Close() {
	s.mu.Lock()
	s.cancel() // under the lock: no job starts after it
	s.mu.Unlock()
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.order {
		j.result.discard()
	}
	for _, p := range s.prepared {
		_ = p.file.Close()
	}
	s.jobs, s.order, s.prepared = map[string]*job{}, nil, map[string]*spool{}
}

// Wait returns when no job is at work. None may be started meanwhile.
func (s *Server) Wait() { s.work.Wait() }

// start runs a job in the background: it waits in UploadComplete, then in
// InProgress, and does the work. It needs the server's lock.
func (s *Server) start(j *job, delay func(string) time.Duration, work func(context.Context) error) {
	if s.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	j.cancel = cancel
	s.work.Go(func() {
		defer cancel()
		if !sleep(ctx, delay(stateUploadComplete)) || !s.move(j, stateInProgress) {
			return
		}
		began := time.Now()
		err := work(ctx)
		if !sleep(ctx, delay(stateInProgress)) {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		j.took = time.Since(began)
		if j.State != stateInProgress {
			return
		}
		j.State, j.stamp = stateJobComplete, s.cfg.Clock()
		if err != nil {
			j.State, j.message = stateFailed, err.Error()
		}
	})
}

// move changes the state of a job that nobody has ended.
func (s *Server) move(j *job, state string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.ended() {
		return false
	}
	j.State, j.stamp = state, s.cfg.Clock()
	return true
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
