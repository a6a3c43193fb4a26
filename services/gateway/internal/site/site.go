// Package site serves the user interface: one page for all of its addresses, which asks
// the API for what it shows, and the files that the page needs. Nothing of it is secret,
// and nothing comes from elsewhere: the page's policy forbids it.
package site

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// policy lets the page run its own scripts and styles, and ask this gateway; nothing
// inline, nothing from elsewhere, in nobody's frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Site serves the page and its files. It is safe for concurrent use.
type Site struct {
	page  file
	files map[string]file
}

// file is one file, as it is and packed.
type file struct {
	kind         string
	plain, gzipd []byte
}

// New reads the files, of which index.html is the page.
func New(files fs.FS) (*Site, error) {
	s := &Site{files: map[string]file{}}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		f, err := pack(name, data)
		if name == "index.html" {
			s.page = f
		} else {
			s.files[name] = f
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the user interface: %w", err)
	}
	if s.page.plain == nil {
		return nil, fmt.Errorf("read the user interface: index.html is not there")
	}
	return s, nil
}

func pack(name string, data []byte) (file, error) {
	f := file{kind: mime.TypeByExtension(path.Ext(name)), plain: data}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return f, err
	}
	if _, err := w.Write(data); err != nil {
		return f, err
	}
	if err := w.Close(); err != nil {
		return f, err
	}
	if packed.Len() < len(data) {
		f.gzipd = packed.Bytes()
	}
	return f, nil
}

// Page serves the page.
func (s *Site) Page(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache") // it names the files of this version
	s.page.serve(w, r)
}

// Asset serves the file of a path such as /assets/index-1f2e.js. Names change with what is in them, so
// that browsers keep them for good. ok is false when there is none.
func (s *Site) Asset(w http.ResponseWriter, r *http.Request) (ok bool) {
	f, ok := s.files[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		return false
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	f.serve(w, r)
	return true
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	data := f.plain
	if f.gzipd != nil && accepts(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		data = f.gzipd
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // the browser went away: nobody is left to tell
}

// accepts reports whether a browser takes gzip, which all do that say so at all.
func accepts(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(name) == "gzip" {
			return !strings.HasSuffix(strings.ReplaceAll(weight, " ", ""), "q=0")
		}
	}
	return false
}
