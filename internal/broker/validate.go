package broker

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/driftmesh/driftmesh/internal/event"
)

// Reserved is the prefix of headers that drivers use for themselves.
const Reserved = "driftmesh-x-"

const (
	maxName    = 128
	maxHeaders = 1000 // in one message
)

// ValidName returns ErrInvalid unless name can be a topic on every broker.
func ValidName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("%w: name of %d bytes", ErrInvalid, len(name))
	}
	if name[0] == '.' || name[len(name)-1] == '.' || strings.Contains(name, "..") || !plain(name) {
		return fmt.Errorf("%w: name %q", ErrInvalid, name)
	}
	return nil
}

// ValidGroup returns ErrInvalid unless name can be a group on every broker.
func ValidGroup(name string) error {
	if err := ValidName(name); err != nil {
		return err
	}
	if strings.IndexByte(name, '.') >= 0 {
		return fmt.Errorf("%w: group %q has a dot", ErrInvalid, name)
	}
	return nil
}

func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' {
			continue
		}
		return false
	}
	return true
}

// ValidMessage returns ErrInvalid when a message breaks a rule of the
// contract, and ErrTooLarge when it exceeds limit (0 is none), which is
// Capabilities.MaxMessageBytes; DLQs and retry topics get ParkRoom on top. It does
// not allocate for a good message.
func ValidMessage(m *Message, limit int) error {
	if err := ValidName(m.Topic); err != nil {
		return err
	}
	if err := ValidID(m.ID); err != nil {
		return err
	}
	if len(m.Headers) > maxHeaders {
		return fmt.Errorf("%w: %d headers, want at most %d", ErrInvalid, len(m.Headers), maxHeaders)
	}
	for i := range m.Headers {
		if err := ValidHeader(&m.Headers[i]); err != nil {
			return err
		}
		for j := range i {
			if m.Headers[j].Key == m.Headers[i].Key {
				return fmt.Errorf("%w: header %q twice", ErrInvalid, m.Headers[i].Key)
			}
		}
	}
	if limit > 0 && (IsDLQ(m.Topic) || event.IsRetry(m.Topic)) {
		limit += ParkRoom
	}
	if size := m.Size(); limit > 0 && size > limit {
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, size, limit)
	}
	return nil
}

// ValidID returns ErrInvalid when a message's id breaks a rule of the contract.
func ValidID(id string) error {
	if strings.ContainsAny(id, "\r\n\x00") || strings.TrimSpace(id) != id || !utf8.ValidString(id) {
		return fmt.Errorf("%w: id %q", ErrInvalid, id)
	}
	return nil
}

// ValidHeader returns ErrInvalid when a header breaks a rule of the contract.
func ValidHeader(h *Header) error {
	if h.Key == "" || len(h.Key) > maxName || !plain(h.Key) {
		return fmt.Errorf("%w: header key %q", ErrInvalid, h.Key)
	}
	if strings.HasPrefix(h.Key, Reserved) {
		return fmt.Errorf("%w: header key %q is reserved", ErrInvalid, h.Key)
	}
	if strings.HasSuffix(h.Key, "-bin") {
		return nil
	}
	if bytes.IndexByte(h.Value, '\r') >= 0 || bytes.IndexByte(h.Value, '\n') >= 0 ||
		bytes.IndexByte(h.Value, 0) >= 0 || !utf8.Valid(h.Value) {
		return fmt.Errorf("%w: value of header %q", ErrInvalid, h.Key)
	}
	return nil
}
