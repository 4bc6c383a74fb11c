package main

import "net"

// receivers opens UDP sockets, prints their ports as `ports`, and returns viewers that count what comes there once each has
// had a packet: for a server that sends RTP to addresses that it was started with.
func receivers(count int) ([]*viewer, error) {
	var ports []int
	var sockets []*net.UDPConn
	for range count {
		socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, err
		}
		sockets = append(sockets, socket)
		ports = append(ports, socket.LocalAddr().(*net.UDPAddr).Port)
	}
	say(map[string][]int{"ports": ports})
	var viewers []*viewer
	begun := make(chan struct{}, count)
	for _, socket := range sockets {
		viewer := &viewer{end: func() { _ = socket.Close() }}
		viewers = append(viewers, viewer)
		go viewer.count(socket, begun)
	}
	for range count {
		<-begun
	}
	return viewers, nil
}

// count counts the packets that come to a socket.
func (viewer *viewer) count(socket *net.UDPConn, begun chan<- struct{}) {
	buffer := make([]byte, packetSize)
	for first := true; ; first = false {
		length, err := socket.Read(buffer)
		if err != nil {
			return
		}
		if length < 12 {
			continue
		}
		viewer.lock.Lock()
		viewer.received.Packets++
		viewer.received.Bytes += uint64(length)
		// The marker of the RTP header.
		if buffer[1]&0x80 != 0 {
			viewer.received.Pictures++
		}
		viewer.lock.Unlock()
		if first {
			begun <- struct{}{}
		}
	}
}
