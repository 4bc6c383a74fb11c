package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// packetSize is more than a packet has on Ethernet.
const packetSize = 1600

// joined has the milliseconds from the POST to the answer, the first packet, and the last packet of the first picture that
// can be decoded.
type joined struct {
	Answered float64 `json:"answered_ms"`
	Packet   float64 `json:"packet_ms"`
	Picture  float64 `json:"picture_ms"`
}

// counts is what has been received. Lost are packets that a retransmission has not replaced.
type counts struct {
	Packets  uint64 `json:"packets"`
	Bytes    uint64 `json:"bytes"`
	Pictures uint64 `json:"pictures"`
	Lost     uint64 `json:"lost"`
}

func (sum *counts) add(other counts) {
	sum.Packets += other.Packets
	sum.Bytes += other.Bytes
	sum.Pictures += other.Pictures
	sum.Lost += other.Lost
}

type viewer struct {
	// end makes it leave.
	end    func()
	joined joined

	lock     sync.Mutex
	received counts
}

// newAPI makes what viewers have in common: the codecs and the feedback that Pion has by default.
func newAPI() (*webrtc.API, error) {
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	registry := &interceptor.Registry{}
	if err := webrtc.RegisterDefaultInterceptors(media, registry); err != nil {
		return nil, err
	}
	settings := webrtc.SettingEngine{}
	// The server is on this machine, which may have no network.
	settings.SetIncludeLoopbackCandidate(true)
	return webrtc.NewAPI(
		webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings),
	), nil
}

// join returns a viewer that has had its first picture.
func join(api *webrtc.API, endpoint string) (*viewer, error) {
	peer, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	viewer := &viewer{end: func() { _ = peer.Close() }}
	recvonly := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	if _, err := peer.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, recvonly); err != nil {
		return nil, err
	}
	var posted time.Time
	seen := make(chan struct{})
	peer.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		go discard(receiver)
		viewer.receive(track, func() float64 { return since(posted) }, seen)
	})
	offer, err := peer.CreateOffer(nil)
	if err != nil {
		return nil, err
	}
	gathered := webrtc.GatheringCompletePromise(peer)
	if err := peer.SetLocalDescription(offer); err != nil {
		return nil, err
	}
	<-gathered
	posted = time.Now()
	answer, session, err := post(endpoint, peer.LocalDescription().SDP)
	if err != nil {
		return nil, err
	}
	viewer.joined.Answered = since(posted)
	viewer.end = func() {
		hangUp(session)
		_ = peer.Close()
	}
	if err := peer.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return nil, fmt.Errorf("%w; the answer was\n%s", err, answer)
	}
	select {
	case <-seen:
		return viewer, nil
	case <-time.After(deadline):
		return nil, fmt.Errorf("no picture from %s within %v; the connection is %v", endpoint, deadline, peer.ConnectionState())
	}
}

func since(begin time.Time) float64 {
	return float64(time.Since(begin).Microseconds()) / 1000
}

// discard reads RTCP, which makes Pion work on it.
func discard(receiver *webrtc.RTPReceiver) {
	buffer := make([]byte, packetSize)
	for {
		if _, _, err := receiver.Read(buffer); err != nil {
			return
		}
	}
}

// receive counts a track's packets until the connection closes.
func (viewer *viewer) receive(track *webrtc.TrackRemote, now func() float64, seen chan<- struct{}) {
	buffer := make([]byte, packetSize)
	var sequence sequence
	var header rtp.Header
	isWhole := false
	for {
		length, _, err := track.Read(buffer)
		if err != nil {
			return
		}
		begin, err := header.Unmarshal(buffer[:length])
		// Padding that probes the bandwidth is no picture.
		if err != nil || begin >= length {
			continue
		}
		gap := sequence.next(header.SequenceNumber)
		viewer.lock.Lock()
		viewer.received.Packets++
		viewer.received.Bytes += uint64(length)
		viewer.received.Lost = sequence.missing
		if header.Marker {
			viewer.received.Pictures++
		}
		viewer.lock.Unlock()
		if seen == nil {
			continue
		}
		if viewer.joined.Packet == 0 {
			viewer.joined.Packet = now()
		}
		isWhole = (isWhole && !gap) || beginsKeyFrame(buffer[begin:length])
		if isWhole && header.Marker {
			viewer.joined.Picture = now()
			close(seen)
			seen = nil
		}
	}
}

// sequence finds gaps in sequence numbers.
type sequence struct {
	begun   bool
	last    uint16
	missing uint64
}

// next tells whether packets are missing before this one. One that comes late was missing until then.
func (sequence *sequence) next(number uint16) bool {
	step := number - sequence.last
	if !sequence.begun {
		sequence.begun, step = true, 1
	}
	if step == 0 || step >= 1<<15 {
		if step != 0 && sequence.missing > 0 {
			sequence.missing--
		}
		return false
	}
	sequence.missing += uint64(step - 1)
	sequence.last = number
	return step > 1
}

// beginsKeyFrame tells whether a payload of RFC 6184 has a sequence parameter set, with which a key frame begins: alone, or
// in an aggregate.
func beginsKeyFrame(payload []byte) bool {
	switch payload[0] & 0x1f {
	case 7:
		return true
	case 24:
		return len(payload) > 3 && payload[3]&0x1f == 7
	}
	return false
}

func (viewer *viewer) counts() counts {
	viewer.lock.Lock()
	defer viewer.lock.Unlock()
	return viewer.received
}

// hangUp ends a session over HTTP where the server has named it.
func hangUp(session string) {
	if session == "" {
		return
	}
	if request, err := http.NewRequest(http.MethodDelete, session, nil); err == nil {
		if response, err := client.Do(request); err == nil {
			_ = response.Body.Close()
		}
	}
}

var client = &http.Client{Timeout: deadline}

// post sends the offer; it returns the answer and the session's URL, which not every server has.
func post(endpoint, offer string) (answer, session string, err error) {
	response, err := client.Post(endpoint, "application/sdp", strings.NewReader(offer))
	if err != nil {
		return "", "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return "", "", err
	}
	if response.StatusCode >= 300 {
		return "", "", fmt.Errorf("POST %s: %s %s", endpoint, response.Status, text)
	}
	if location := response.Header.Get("Location"); location != "" {
		base, err := url.Parse(endpoint)
		if err != nil {
			return "", "", err
		}
		at, err := base.Parse(location)
		if err != nil {
			return "", "", errors.Join(errors.New("the session's address"), err)
		}
		session = at.String()
	}
	return string(text), session, nil
}
