package org

// limits serves GET /limits and /limits/recordCount.
func (c *call) limits(seg []string) answer {
	switch {
	case len(seg) == 0:
		return ok(c.s.limitList())
	case len(seg) == 1 && seg[0] == "recordCount":
		return c.recordCount()
	}
	return notFound()
}

// limitList names the limits a bridge looks at, those of a Developer Edition
// org where nothing in this org sets them.
func (s *Server) limitList() object {
	pair := func(name string, limit, left int) member {
		return member{name, object{{"Max", limit}, {"Remaining", max(0, left)}}}
	}
	s.mu.Lock()
	limit, used := s.limit, s.calls
	s.mu.Unlock()
	clients := s.opt.StreamClients
	return object{
		pair("DailyApiRequests", limit, limit-used),
		pair("DailyBulkApiBatches", 15000, 15000),
		pair("DailyBulkV2QueryJobs", 10000, 10000),
		pair("DailyBulkV2QueryFileStorageMB", 976562, 976562),
		pair("DailyDurableStreamingApiEvents", 10000, 10000-s.stream.Delivered()),
		pair("DailyDurableGenericStreamingApiEvents", 10000, 10000),
		pair("DailyStreamingApiEvents", 10000, 10000),
		pair("DurableStreamingApiConcurrentClients", clients, clients-s.stream.Clients()),
		pair("StreamingApiConcurrentClients", clients, clients),
		pair("DataStorageMB", 5, 5),
		pair("FileStorageMB", 20, 20),
	}
}

// recordCount serves GET /limits/recordCount?sObjects=Account,Contact.
func (c *call) recordCount() answer {
	names := list(c.query, "sObjects")
	if len(names) == 0 {
		for _, ob := range c.store.Objects() {
			names = append(names, ob.Name)
		}
	}
	counts := []object{}
	for _, name := range names {
		if ob := c.object(name); ob != nil {
			counts = append(counts, object{{"count", c.store.Len(ob.Name)}, {"name", ob.Name}})
		}
	}
	return ok(object{{"sObjects", counts}})
}
