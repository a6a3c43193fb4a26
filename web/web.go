// Package web is the user interface: what npm run build has made of src, which is kept
// beside it so that Go alone makes a program with all of it.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Files are the page, index.html, and what it asks for, assets/….
func Files() (fs.FS, error) { return fs.Sub(dist, "dist") }
