package profile

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"unicode/utf8"
)

// lineBuffer is how much of a file is read at a time.
const lineBuffer = 256 << 10

// csvLines cuts text into records as encoding/csv does. Lines without a quote,
// which are nearly all lines of data, it cuts itself, in a quarter of the time;
// from a line with one to the record's end, encoding/csv does.
type csvLines struct {
	text   *bufio.Reader
	comma  byte // 0 when it cannot be cut at
	quoted *csv.Reader
	plain  int    // lines that encoding/csv did not see
	line   []byte // a line that it has still to see, or longer than the buffer
	record [][]byte
	texts  []byte // of a record that encoding/csv cut
}

func newCSVLines(r io.Reader, comma rune) *csvLines {
	l := &csvLines{text: skipMark(r)}
	l.quoted = csv.NewReader(handOver{l})
	l.quoted.ReuseRecord = true
	l.quoted.FieldsPerRecord = -1
	if comma != 0 {
		l.quoted.Comma = comma
	}
	if c := l.quoted.Comma; c < utf8.RuneSelf && c != '"' && c != '\r' && c != '\n' && c != 0 {
		l.comma = byte(c)
	}
	return l
}

// skipMark drops a UTF-8 byte order mark, which spreadsheets write.
func skipMark(r io.Reader) *bufio.Reader {
	buffered := bufio.NewReaderSize(r, lineBuffer)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = buffered.Discard(len(mark)) // cannot fail: the bytes were peeked
	}
	return buffered
}

// next is the next record, valid until the one after, or io.EOF.
func (l *csvLines) next() ([][]byte, error) {
	for {
		line, err := l.readLine()
		if err != nil {
			return nil, err
		}
		if l.comma == 0 || bytes.IndexByte(line, '"') >= 0 {
			l.line = line
			return l.nextQuoted()
		}
		l.plain++
		line = bytes.TrimSuffix(line, []byte{'\n'})
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) > 0 { // encoding/csv leaves empty lines out
			return l.cut(line), nil
		}
	}
}

func (l *csvLines) cut(line []byte) [][]byte {
	l.record = l.record[:0]
	for {
		end := bytes.IndexByte(line, l.comma)
		if end < 0 {
			l.record = append(l.record, line)
			return l.record
		}
		l.record = append(l.record, line[:end])
		line = line[end+1:]
	}
}

// readLine reads to the end of a line or, without one, of the text.
func (l *csvLines) readLine() ([]byte, error) {
	line, err := l.text.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = l.text.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = nil
	}
	return line, err
}

func (l *csvLines) nextQuoted() ([][]byte, error) {
	record, err := l.quoted.Read()
	var wrong *csv.ParseError
	if errors.As(err, &wrong) {
		wrong.StartLine += l.plain
		wrong.Line += l.plain
	}
	if err != nil {
		return nil, err
	}
	size := 0
	for _, text := range record {
		size += len(text)
	}
	l.record, l.texts = l.record[:0], slices.Grow(l.texts[:0], size)
	for _, text := range record {
		start := len(l.texts)
		l.texts = append(l.texts, text...)
		l.record = append(l.record, l.texts[start:])
	}
	return l.record, nil
}

// handOver gives encoding/csv at most one line at a time, so that it never
// holds more than the record it reads.
type handOver struct{ lines *csvLines }

// Read implements [io.Reader].
func (h handOver) Read(p []byte) (n int, err error) {
	l := h.lines
	if len(l.line) == 0 {
		if l.line, err = l.readLine(); err != nil {
			return 0, err
		}
	}
	n = copy(p, l.line)
	l.line = l.line[n:]
	return n, nil
}

// trimmed is the text without spaces around it.
func trimmed(text []byte) []byte {
	if n := len(text); n > 0 && isPlain(text[0]) && isPlain(text[n-1]) {
		return text
	}
	return bytes.TrimSpace(text)
}

// isPlain says of a byte that it is no part of a space of any kind.
func isPlain(b byte) bool { return b > ' ' && b < utf8.RuneSelf }
