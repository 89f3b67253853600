package crash

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
)

// postgresDoor stands between a bridge and its server and numbers statements and
// answers.
type postgresDoor struct {
	net.Listener
	server string // host:port
	fate   *fate
	open   sync.WaitGroup
}

func openPostgres(server string, f *fate) (*postgresDoor, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed with the world
	if err != nil {
		return nil, err
	}
	d := &postgresDoor{Listener: l, server: server, fate: f}
	d.open.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			d.open.Go(func() { d.serve(client) })
		}
	})
	return d, nil
}

// session is one connection. Messages are those of PostgreSQL's frontend/backend
// protocol 3.0: a type byte, a length that counts itself, a body.
type session struct {
	door           *postgresDoor
	client, server net.Conn
	life           int

	mu         sync.Mutex
	statements map[string]string // prepared, by name
	now        string
}

func (d *postgresDoor) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", d.server) //nolint:noctx // closed below
	if err != nil {
		return
	}
	defer server.Close()
	s := &session{door: d, client: client, server: server, statements: map[string]string{}}
	s.life = d.fate.join(func() { _ = client.Close(); _ = server.Close() })
	ended := make(chan struct{}, 2)
	go func() { s.forward(); ended <- struct{}{} }()
	go func() { s.back(); ended <- struct{}{} }()
	<-ended
	_, _ = client.Close(), server.Close()
	<-ended
}

// start passes the first message on, which has no type.
func (s *session) start(r *bufio.Reader) error {
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		body := make([]byte, max(0, int(binary.BigEndian.Uint32(head[:4]))-8))
		if _, err := io.ReadFull(r, body); err != nil {
			return err
		}
		if code := binary.BigEndian.Uint32(head[4:]); code == 80877103 || code == 80877104 { // SSLRequest, GSSENCRequest
			if _, err := s.client.Write([]byte{'N'}); err != nil {
				return err
			}
			continue
		}
		_, err := s.server.Write(append(head[:], body...)) // a start, or a CancelRequest
		return err
	}
}

// forward passes on what the bridge says, a statement at a time.
func (s *session) forward() {
	r := bufio.NewReaderSize(s.client, 64<<10)
	if s.start(r) != nil {
		return
	}
	var held bytes.Buffer
	for {
		kind, body, err := message(r, &held)
		if err != nil {
			return
		}
		switch kind {
		case 'Q':
			s.say(text(body))
		case 'P':
			name, rest, _ := bytes.Cut(body, []byte{0})
			s.mu.Lock()
			s.statements[string(name)], s.now = text(rest), "prepare "+text(rest)
			s.mu.Unlock()
		case 'B':
			_, rest, _ := bytes.Cut(body, []byte{0})
			s.mu.Lock()
			s.now = s.statements[text(rest)]
			s.mu.Unlock()
		}
		switch kind {
		case 'Q', 'S', 'c':
			if !s.door.fate.effect(s.life, func() string { return "sent: " + s.said() }) {
				return
			}
		case 'P', 'B', 'D', 'E', 'C':
			continue // it goes with its Sync
		case 'd':
			if held.Len() < 64<<10 {
				continue
			}
		}
		if _, err := s.server.Write(held.Bytes()); err != nil {
			return
		}
		held.Reset()
	}
}

// back passes on what the server says, an answer at a time.
func (s *session) back() {
	r := bufio.NewReaderSize(s.server, 64<<10)
	var held bytes.Buffer
	started := false
	for {
		kind, body, err := message(r, &held)
		if err != nil {
			return
		}
		switch {
		case kind == 'Z':
			if !s.door.fate.effect(s.life, func() string { return "answered: " + s.said() }) {
				return
			}
			started = true
		case kind == 'A':
			if !s.door.fate.effect(s.life, func() string { return "notified: " + text(body[4:]) }) {
				return
			}
		case started && kind != 'G' && held.Len() < 64<<10:
			continue
		}
		if _, err := s.client.Write(held.Bytes()); err != nil {
			return
		}
		held.Reset()
	}
}

// message reads one and adds it to held.
func message(r *bufio.Reader, held *bytes.Buffer) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint32(head[1:])) - 4
	if n < 0 || n > 1<<30 {
		return 0, nil, errors.New("not a message")
	}
	body = make([]byte, n)
	if _, err = io.ReadFull(r, body); err != nil {
		return 0, nil, err
	}
	held.Write(head[:])
	held.Write(body)
	return head[0], body, nil
}

func (s *session) say(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = what
}

func (s *session) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// text is the first string of a body, without comments, on one line.
func text(body []byte) string {
	first, _, _ := bytes.Cut(body, []byte{0})
	var words []string
	for line := range strings.Lines(string(first)) {
		line, _, _ = strings.Cut(line, "--")
		words = append(words, strings.Fields(line)...)
	}
	t := strings.Join(words, " ")
	return t[:min(len(t), 160)]
}
