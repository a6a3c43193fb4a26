package embedded

import (
	"cmp"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// server speaks ClickHouse's HTTP interface for the engine.
type server struct {
	pool    *pool
	reads   *lane
	inserts *lane
	secret  string
	hello   hello
	log     *slog.Logger

	serial atomic.Uint64 // numbers the statements
	run    string        // tells this child's query ids from its predecessor's
	chunks sync.Pool     // *[]byte of chunkSize
}

// chunkSize is how much of an insert's body goes to the engine at once.
const chunkSize = 256 << 10

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/ping" || r.URL.Path == "/replicas_status":
		_, _ = io.WriteString(w, "Ok.\n")
		return
	case r.Method != http.MethodPost && r.Method != http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case !s.allowed(r):
		w.Header().Set("WWW-Authenticate", `Basic realm="ClickHouse server HTTP API"`)
		s.fail(w, refuse(codeAuthentication, "AUTHENTICATION_FAILED", "Authentication failed: user or password is wrong"))
		return
	}
	req, err := parse(r)
	if err == nil && strings.TrimSpace(req.text) == "" {
		err = refuse(codeSyntaxError, "SYNTAX_ERROR", "Syntax error: empty query")
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	n := s.serial.Add(1)
	if req.id == "" {
		req.id = fmt.Sprintf("%s-%d", s.run, n)
	}
	h := w.Header()
	h.Set("X-ClickHouse-Query-Id", req.id)
	h.Set("X-ClickHouse-Server-Display-Name", s.hello.name)
	h.Set("X-ClickHouse-Timezone", s.hello.timezone)
	if err := s.serve(w, r, req, n); err != nil {
		s.fail(w, err)
	}
}

// serve runs one statement. It returns an error only while nothing of a
// result has been written.
func (s *server) serve(w http.ResponseWriter, r *http.Request, req *request, serial uint64) error {
	if s.hello.asked(req) {
		return s.hello.answer(w, req)
	}
	lane := s.reads
	if req.kind == inserting {
		lane = s.inserts
	}
	if err := lane.enter(r.Context()); err != nil {
		return err
	}
	defer lane.leave()
	session, err := s.pool.borrow(req.setup)
	if err != nil {
		return err
	}
	// A session is only lent again after a success: the engine counts a
	// statement that failed as running, with all that it holds, until its
	// session is used again or closed.
	clean := false
	defer func() { s.pool.giveBack(session, clean) }()
	if req.kind == inserting {
		clean, err = s.insert(w, req, session)
		return err
	}
	done := s.killOnLeave(r.Context(), req, serial)
	defer done()
	if req.kind == selecting && streams(cmp.Or(req.statement.format, req.format)) {
		clean, err = s.stream(w, req, session)
	} else {
		clean, err = s.whole(w, req, session)
	}
	return err
}

// insert passes the body on to the engine as it arrives.
func (s *server) insert(w http.ResponseWriter, req *request, session *session) (clean bool, err error) {
	insert, err := session.Insert(req.text, req.statement.format, req.params)
	if err != nil {
		return false, engineError(err)
	}
	defer insert.Close()
	chunk := s.chunks.Get().(*[]byte)
	defer s.chunks.Put(chunk)
	for {
		n, readErr := fill(req.body, *chunk)
		if appendErr := insert.Append((*chunk)[:n]); appendErr != nil || errors.Is(readErr, io.EOF) {
			break // if Append failed, Done tells why
		}
		if readErr != nil {
			return false, refuse(codeCannotReadAllData, "CANNOT_READ_ALL_DATA", "read the data of the insert: %v", readErr)
		}
	}
	stats, err := insert.Done()
	if err != nil {
		return false, engineError(err)
	}
	summary(w, stats)
	return true, nil
}

// fill reads until buf is full or the body ends (io.EOF) or breaks off (any
// other error, io.ErrUnexpectedEOF among them: half a body must not be stored).
func fill(body io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var got int
		got, err = body.Read(buf[n:])
		n += got
	}
	if errors.Is(err, io.EOF) && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) { //nolint:errorlint // only the bare one is an end
		err = errors.New(err.Error()) // a wrapped EOF is a decoder's complaint
	}
	return n, err
}

// stream hands a result to the client block by block.
func (s *server) stream(w http.ResponseWriter, req *request, session *session) (clean bool, err error) {
	format := cmp.Or(req.statement.format, req.format)
	stream, err := session.Stream(req.text, format, req.params)
	if err != nil {
		if strings.Contains(err.Error(), "Streaming query is not supported") {
			return s.whole(w, req, session)
		}
		return false, engineError(err)
	}
	defer stream.Close()
	out := &output{w: w, format: format, framed: req.compress, tag: s.run}
	for {
		more, err := stream.Next(out.write)
		switch {
		case out.err != nil: // the client is gone
			return false, nil
		case err != nil && !out.begun:
			return false, engineError(err)
		case err != nil:
			out.fail(engineError(err))
			return false, nil
		case !more:
			out.end()
			return true, nil
		}
	}
}

// whole runs a statement to its end before it answers.
func (s *server) whole(w http.ResponseWriter, req *request, session *session) (clean bool, err error) {
	data, stats, err := session.Query(req.text, req.format, req.params)
	if err != nil {
		return false, engineError(err)
	}
	summary(w, stats)
	out := &output{w: w, format: cmp.Or(req.statement.format, req.format), framed: req.compress}
	if len(data) > 0 {
		_ = out.write(data)
	}
	out.end()
	return req.kind != sessionful, nil
}

// allowed checks the password, wherever ClickHouse's clients put it.
func (s *server) allowed(r *http.Request) bool {
	user, password := r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
	if u, p, ok := r.BasicAuth(); ok {
		user, password = u, p
	}
	if q := r.URL.Query(); user == "" && password == "" {
		user, password = q.Get("user"), q.Get("password")
	}
	return (user == "" || user == userName) && subtle.ConstantTimeCompare([]byte(password), []byte(s.secret)) == 1
}

// userName is the engine's only user.
const userName = "default"

// fail answers with an exception, as ClickHouse's server does.
func (s *server) fail(w http.ResponseWriter, err error) {
	var e *exception
	if !errors.As(err, &e) {
		e = refuse(codeUnknownException, "UNKNOWN_EXCEPTION", "%v", err)
	}
	h := w.Header()
	h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.code))
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Del("Content-Encoding")
	w.WriteHeader(e.status())
	_, _ = io.WriteString(w, strings.TrimSpace(e.text)+"\n")
}
