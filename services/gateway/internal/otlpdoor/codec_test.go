package otlpdoor_test

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// rawClient is a client codec that sends bytes as they are.
type rawClient struct{}

func (rawClient) Name() string { return "proto" }

func (rawClient) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.([]byte); ok {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return nil, fmt.Errorf("marshal %T", v)
}

func (rawClient) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("unmarshal %T", v)
	}
	*b = data.Materialize()
	return nil
}
