package sdk

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

const (
	// maxErrors bounds how many errors of a tree are recorded.
	maxErrors = 64
	// maxErrorText bounds the text of each.
	maxErrorText = 2000
	// maxFrames bounds a stack.
	maxFrames = 64
)

// ErrorTree is an error with all that it wraps or joins, as it stands in the
// attribute AttrErrors.
type ErrorTree struct {
	Type    string      `json:"type"`
	Message string      `json:"message"`
	Value   any         `json:"value,omitempty"` // its exported fields, where it has any
	Errors  []ErrorTree `json:"errors,omitempty"`
}

// errorTree follows Unwrap, in both its forms, as far as left allows.
func errorTree(err error, depth int, left *int) ErrorTree {
	*left--
	text, _ := cutText(errorText(err), maxErrorText)
	t := ErrorTree{Type: fmt.Sprintf("%T", err), Message: text, Value: errorValue(err)}
	for _, inner := range unwrapped(err) {
		if inner == nil || *left <= 0 || depth >= maxDepth {
			continue
		}
		t.Errors = append(t.Errors, errorTree(inner, depth+1, left))
	}
	return t
}

// unwrapped are the errors right below err. What panics has none.
func unwrapped(err error) (inner []error) {
	defer func() {
		if recover() != nil {
			inner = nil
		}
	}()
	switch e := err.(type) { //nolint:errorlint // the chain is walked here
	case interface{ Unwrap() error }:
		if one := e.Unwrap(); one != nil {
			return []error{one}
		}
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	}
	return nil
}

// contextError is the error of a context that err has in its tree; nil for none. Unlike
// errors.Is it ends where an error wraps itself.
func contextError(err error, left int) error {
	if err == context.Canceled || err == context.DeadlineExceeded { //nolint:errorlint // the tree is walked here
		return err
	}
	if err == nil || left == 0 {
		return nil
	}
	for _, inner := range unwrapped(err) {
		if found := contextError(inner, left-1); found != nil {
			return found
		}
	}
	return nil
}

// errorValue is a struct that is an error, to be captured with its fields; nil where
// the text says all.
func errorValue(err error) any {
	v := reflect.ValueOf(err)
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil
	}
	fields := fieldsOf(v.Type())
	plain := make(map[string]any, len(fields))
	for _, f := range fields {
		value, ok := fieldOf(v, f.index)
		if !ok {
			continue
		}
		if _, is := value.Interface().(error); is {
			continue // stands below, if it is wrapped
		}
		if f.redact {
			plain[f.name] = redacted
			continue
		}
		plain[f.name] = value.Interface()
	}
	if len(plain) == 0 {
		return nil
	}
	return plain
}

// errorText is what an error says, or that it cannot.
func errorText(err error) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = fmt.Sprintf("[%T: panic in Error]", err)
		}
	}()
	return err.Error()
}

// errorType is the type of the first error in the tree that says more than that it
// wraps another, or joins several.
func errorType(err error) string {
	for e, n := err, 0; e != nil && n < maxErrors; n++ {
		t := fmt.Sprintf("%T", e)
		inner := unwrapped(e)
		if t != "*fmt.wrapError" && t != "*fmt.wrapErrors" && t != "*errors.joinError" || len(inner) == 0 {
			return t
		}
		e = inner[0]
	}
	return fmt.Sprintf("%T", err)
}

// errorAttributes are those of OpenTelemetry's event of an error, and the tree where
// there is more than one error or a value.
func errorAttributes(err error) []attribute.KeyValue {
	text, _ := cutText(errorText(err), maxErrorText)
	out := append(make([]attribute.KeyValue, 0, 4), attribute.String("exception.type", errorType(err)), attribute.String("exception.message", text))
	left := maxErrors
	if tree := errorTree(err, 0, &left); len(tree.Errors) > 0 || tree.Value != nil {
		var keys map[string]struct{}
		if client := Default(); client != nil {
			keys = client.cfg.capture.keys
		}
		whole, _ := encodeJSON(tree, 2*DefaultCaptureLimit, keys)
		out = append(out, attribute.String(AttrErrors, whole))
	}
	return out
}

// panicAttributes are those of the event of a panic.
func panicAttributes(value any) []attribute.KeyValue {
	if err, ok := value.(error); ok {
		return errorAttributes(err)
	}
	text, _ := cutText(panicText(value), maxErrorText)
	return append(make([]attribute.KeyValue, 0, 4), attribute.String("exception.type", fmt.Sprintf("%T", value)), attribute.String("exception.message", text))
}

// panicText is what somebody panicked with, as text.
func panicText(value any) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("[%T]", value)
		}
	}()
	switch v := value.(type) {
	case error:
		return v.Error()
	case string:
		return v
	}
	return fmt.Sprint(value)
}

// stack is the stack of the caller as runtime/debug writes it, without the frames of
// this package.
func stack() string {
	pcs := make([]uintptr, maxFrames)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	var b strings.Builder
	own := true
	for {
		f, more := frames.Next()
		if own = own && strings.HasPrefix(f.Function, scope+".") && !strings.HasSuffix(f.File, "_test.go"); !own {
			b.WriteString(f.Function)
			b.WriteString("\n\t")
			b.WriteString(f.File)
			b.WriteString(":" + strconv.Itoa(f.Line) + "\n")
		}
		if !more {
			return b.String()
		}
	}
}
