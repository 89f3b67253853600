package bulk

// faults is what a test has told the server to do wrong.
type faults struct {
	failQuery, failIngest fault
}

type fault struct {
	message string
	after   int // rows that still succeed
	times   int
}

func (f *fault) next() fault {
	if f.times == 0 {
		return fault{}
	}
	f.times--
	return *f
}

func (f *faults) queryFault() string { return f.failQuery.next().message }
func (f *faults) ingestFault() fault { return f.failIngest.next() }

// FailQuery makes the next query jobs end as Failed with a message.
func (s *Server) FailQuery(message string, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failQuery = fault{message: message, times: times}
}

// FailIngest makes the next ingest jobs end as Failed with a message, before
// any row is written.
func (s *Server) FailIngest(message string, times int) { s.stop(message, 0, times) }

// StopAfter makes the next ingest jobs end as Failed after some rows, as when
// a batch has used up its retries. The other rows are unprocessed.
func (s *Server) StopAfter(rows, times int) {
	s.stop("InternalServerError : Batch exceeded the maximum number of retries", rows, times)
}

func (s *Server) stop(message string, after, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failIngest = fault{message: message, after: after, times: times}
}
