package server

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// Proxy is a TCP relay to a server. It can swallow everything, as a network
// does whose cable was pulled: nobody is told, connections stay open, new ones
// are accepted and hear nothing. And it can be a slow link, which all
// connections share.
type Proxy struct {
	lis    net.Listener
	target string

	mu    sync.Mutex
	rate  int           // bytes per second of either direction; 0 is all there is
	clear time.Time     // when the link has carried what it was given
	open  chan struct{} // closed while traffic flows
	only  string        // swallow connections whose client has said this; "" is all
	conns map[net.Conn]struct{}
	done  chan struct{}
	wg    sync.WaitGroup
}

// NewProxy relays from a loopback port of its own to target, until the test
// ends.
func NewProxy(t T, target string) *Proxy {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	p := &Proxy{lis: lis, target: target, open: make(chan struct{}), conns: map[net.Conn]struct{}{}, done: make(chan struct{})}
	close(p.open)
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.lis.Addr().String() }

// Swallow stops all traffic in both directions until Resume.
func (p *Proxy) Swallow() { p.SwallowOnly("") }

// SwallowOnly is Swallow for the connections whose client has said a word within
// its first kilobytes, as the name that it goes by.
func (p *Proxy) SwallowOnly(word string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.only = word
	select {
	case <-p.open:
		p.open = make(chan struct{})
	default: // already
	}
}

// Resume lets traffic flow again: new connections, and the old ones with what
// they had to say meanwhile.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open: // already
	default:
		close(p.open)
	}
}

// Slow lets only so many bytes per second pass, of all connections together; 0
// is no limit.
func (p *Proxy) Slow(bytesPerSecond int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = bytesPerSecond
}

// carry takes as long as the link needs for n bytes.
func (p *Proxy) carry(n int) {
	p.mu.Lock()
	if p.rate <= 0 {
		p.mu.Unlock()
		return
	}
	if now := time.Now(); p.clear.Before(now) {
		p.clear = now
	}
	p.clear = p.clear.Add(time.Duration(n) * time.Second / time.Duration(p.rate))
	t := time.NewTimer(time.Until(p.clear))
	p.mu.Unlock()
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.done:
	}
}

func (p *Proxy) close() {
	close(p.done)
	_ = p.lis.Close()
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *Proxy) accept() {
	for {
		c, err := p.lis.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.relay(c) })
	}
}

// relay carries one connection until either side closes it.
func (p *Proxy) relay(client net.Conn) {
	t := &talk{}
	if !p.keep(client) || !p.wait(t) {
		_ = client.Close()
		return
	}
	defer p.drop(client)
	upstream, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil || !p.keep(upstream) {
		return
	}
	defer p.drop(upstream)
	var both sync.WaitGroup
	both.Go(func() { p.pump(upstream, client, t, t.hear) })
	both.Go(func() { p.pump(client, upstream, t, func([]byte) {}) })
	both.Wait()
}

// talk is the beginning of what a client has said.
type talk struct {
	mu   sync.Mutex
	said []byte
}

func (t *talk) hear(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.said = append(t.said, b[:min(len(b), max(4<<10-len(t.said), 0))]...)
}

func (t *talk) contains(word string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Contains(t.said, []byte(word))
}

func (p *Proxy) pump(dst, src net.Conn, t *talk, hear func([]byte)) {
	defer dst.Close() // ends the other direction too
	defer src.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		hear(buf[:n])
		if !p.wait(t) {
			return
		}
		if n > 0 {
			p.carry(n)
			if _, werr := dst.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait returns true when traffic flows, and false when the proxy is closed.
func (p *Proxy) wait(t *talk) bool {
	p.mu.Lock()
	open, only := p.open, p.only
	p.mu.Unlock()
	if !t.contains(only) {
		return true
	}
	select {
	case <-open:
		return true
	case <-p.done:
		return false
	}
}

func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		_ = c.Close()
		return false
	default:
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}
