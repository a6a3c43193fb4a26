// Package telemetry makes what a process says about itself: its log, and the
// spans of its own work, which travel through the mesh like everybody's.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
)

// Keys of log attributes. There are no others.
const (
	KeyService = "service"
	KeyTenant  = "tenant"
	KeyTopic   = "topic"
	KeyGroup   = "group"
	KeyTraceID = "trace_id"

	KeyRequestID = "request_id"

	KeyProfile = "profile"
	KeyMethod  = "method"
	KeyAddr    = "addr"
	KeyFile    = "file"
	KeyExpires = "expires"
	KeyErr     = "err"
)

// LogConfig says how a process logs.
type LogConfig struct {
	Level  slog.Level `help:"Least level that is logged: debug, info, warn or error." default:"${log_level}"`
	Format string     `help:"Form of the log: text or json." enum:"text,json" default:"text"`
}

// NewLogger makes the process's logger.
func NewLogger(cfg LogConfig, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// Err is the attribute of an error.
func Err(err error) slog.Attr { return slog.String(KeyErr, fmt.Sprint(err)) }
