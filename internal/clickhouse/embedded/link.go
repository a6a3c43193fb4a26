package embedded

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// orders are what the parent tells the child: one line of JSON on stdin, which
// then stays open for as long as the parent lives.
type orders struct {
	Library string
	Path    string
	Secret  string // the password of the HTTP interface
	Limits  Limits
}

// report is what the child tells the parent: lines of JSON on stdout.
type report struct {
	Ready   bool   `json:",omitempty"`
	Version string `json:",omitempty"` // with Ready
	Failure string `json:",omitempty"` // why the child gives up
}

// childVariable marks a child, so that a program which does not know it has been
// started as one cannot start a child of its own, and that another, without
// end.
const childVariable = "DRIFTMESH_ENGINE_CHILD"

// IsChild reports whether this process was started by an Engine, to run Child.
func IsChild() bool { return os.Getenv(childVariable) != "" } //nolint:forbidigo // a mark from the parent, no setting

// listenerFile is the descriptor of the listening socket in the child: the
// first after the standard three.
const listenerFile = 3

func send(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

func receiveOrders(r *bufio.Reader) (orders, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return orders{}, fmt.Errorf("read orders from the parent (this command is started by driftmesh itself): %w", err)
	}
	var o orders
	if err := json.Unmarshal(line, &o); err != nil {
		return orders{}, fmt.Errorf("decode orders: %w", err)
	}
	return o, nil
}
