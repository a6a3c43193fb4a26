package server

import (
	"bytes"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// SlowPosts opens calls of a unary gRPC method over one plain connection, each of
// which announces a message of 64 KiB and sends three bytes of it. ends waits until
// the server has ended all of them, and gives the grpc-status of each. headers are
// names and values in turn.
func SlowPosts(t T, address, method string, calls int, headers ...string) (ends func() []string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("post slowly: %v", err)
		}
	}
	conn, err := net.Dial("tcp", address)
	must(err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, http2.ClientPreface)
	must(err)
	frames := http2.NewFramer(conn, conn)
	frames.ReadMetaHeaders = hpack.NewDecoder(4<<10, nil)
	must(frames.WriteSettings())
	var head bytes.Buffer
	encoder := hpack.NewEncoder(&head)
	headers = append([]string{
		":method", "POST", ":scheme", "http", ":path", method, ":authority", "x", "content-type", "application/grpc", "te", "trailers",
	}, headers...)
	for i := range calls {
		head.Reset()
		for h := 0; h < len(headers); h += 2 {
			must(encoder.WriteField(hpack.HeaderField{Name: headers[h], Value: headers[h+1]}))
		}
		stream := uint32(2*i + 1) //nolint:gosec // few
		must(frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true}))
		must(frames.WriteData(stream, false, []byte{0, 0, 1, 0, 0, 'a', 'b', 'c'}))
	}
	return func() []string {
		t.Helper()
		var got []string
		must(conn.SetReadDeadline(time.Now().Add(30 * time.Second)))
		for len(got) < calls {
			frame, err := frames.ReadFrame()
			must(err)
			if headers, ok := frame.(*http2.MetaHeadersFrame); ok {
				for _, f := range headers.Fields {
					if f.Name == "grpc-status" {
						got = append(got, f.Value)
					}
				}
			}
		}
		return got
	}
}
