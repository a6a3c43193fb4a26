package harness

import (
	"encoding/json"
	"os"
)

// WriteJSON writes a result to a file, to standard output when the path is "-",
// and nowhere when it is empty.
func WriteJSON(path string, result any) error {
	if path == "" {
		return nil
	}
	raw, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	raw = append(raw, '\n')
	if path == "-" {
		_, err = os.Stdout.Write(raw)
		return err
	}
	return os.WriteFile(path, raw, 0o644) //nolint:gosec // a report is for everybody
}
