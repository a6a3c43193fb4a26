// Command gen makes the list of weak passwords: it reads words, one a line, and
// writes the filter that package weak looks into.
package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/driftmesh/driftmesh/services/auth/internal/weak"
)

// bitsPerWord makes one word in 10,000 a false match (see weak.probes).
const bitsPerWord = 20

func main() {
	words := map[string]bool{}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		words[in.Text()] = true
	}
	if err := in.Err(); err != nil {
		fail(err)
	}
	filter := make([]byte, len(words)*bitsPerWord/8)
	for word := range words {
		weak.Add(filter, word)
	}
	if _, err := os.Stdout.Write(filter); err != nil {
		fail(err)
	}
	fmt.Fprintf(os.Stderr, "%d words, %d bytes\n", len(words), len(filter))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
