package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// passwordFlags say where a password comes from: never from the command line,
// where everybody on the machine sees it.
type passwordFlags struct {
	PasswordStdin bool `help:"Read the password from standard input, a line, without asking." name:"password-stdin"`
}

// secrets reads passwords: from a terminal without showing them, else lines of
// standard input.
type secrets struct {
	con      console
	terminal int // its descriptor; -1 for none
	lines    *bufio.Reader
}

// maxSecret bounds what is read for one.
const maxSecret = 4 << 10

func (p passwordFlags) open(con console) *secrets {
	s := &secrets{con: con, terminal: -1, lines: bufio.NewReader(io.LimitReader(con.in, 4*maxSecret))}
	if file, ok := con.in.(*os.File); ok && !p.PasswordStdin && term.IsTerminal(int(file.Fd())) { //nolint:gosec // a descriptor
		s.terminal = int(file.Fd()) //nolint:gosec // a descriptor
	}
	return s
}

// read reads a password, named by what it is.
func (s *secrets) read(what string) (string, error) {
	if s.terminal >= 0 {
		fmt.Fprintf(s.con.err, "%s: ", what)
		raw, err := term.ReadPassword(s.terminal)
		fmt.Fprintln(s.con.err)
		if err != nil {
			return "", fmt.Errorf("read %s: %w", what, err)
		}
		return given(what, string(raw))
	}
	line, err := s.lines.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	return given(what, strings.TrimRight(line, "\r\n"))
}

func given(what, text string) (string, error) {
	if text == "" {
		return "", fmt.Errorf("no %s was given", what)
	}
	return text, nil
}

// choose reads a new password; from a terminal twice, as it is not shown.
func (s *secrets) choose(what string) (string, error) {
	first, err := s.read(what)
	if err != nil || s.terminal < 0 {
		return first, err
	}
	second, err := s.read(what + ", again")
	if err == nil && first != second {
		err = errors.New("the two are not the same")
	}
	return first, err
}
