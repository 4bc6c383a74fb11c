// A WHEP viewer on Pion, a WebRTC stack in Go that shares nothing with porthole or the browsers. It offers what Pion offers by
// default, waits for frames and audio, and hangs up. The exit status tells whether all of it succeeded.
//
//	pion http://192.168.1.10:8080/ delete|close
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

// deadline is for all of it, on a machine that is busy with other things.
const deadline = 60 * time.Second

// frames to receive: two thirds of a second.
const frames = 20

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: pion URL delete|close")
	}
	if err := watch(os.Args[1]+"whep", os.Args[2] == "delete"); err != nil {
		log.Fatal(err)
	}
}

// watch receives video and audio from a WHEP endpoint. Players that delete no session only close the connection.
func watch(endpoint string, deletes bool) error {
	peer, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	defer peer.Close()
	recvonly := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := peer.AddTransceiverFromKind(kind, recvonly); err != nil {
			return err
		}
	}
	received := make(chan error, 2)
	peer.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { received <- receive(track) })
	session, err := negotiate(peer, endpoint)
	if err != nil {
		return err
	}
	expired := time.After(deadline)
	for range 2 {
		select {
		case err = <-received:
		case <-expired:
			err = fmt.Errorf("video or audio is missing after %v; the connection is %v", deadline, peer.ConnectionState())
		}
		if err != nil {
			return err
		}
	}
	if deletes {
		_, err = request(http.MethodDelete, session.String(), "")
	}
	return err
}

// negotiate posts an offer with all candidates and returns the session's URL.
func negotiate(peer *webrtc.PeerConnection, endpoint string) (*url.URL, error) {
	offer, err := peer.CreateOffer(nil)
	if err != nil {
		return nil, err
	}
	gathered := webrtc.GatheringCompletePromise(peer)
	if err := peer.SetLocalDescription(offer); err != nil {
		return nil, err
	}
	<-gathered
	response, err := request(http.MethodPost, endpoint, peer.LocalDescription().SDP)
	if err != nil {
		return nil, err
	}
	answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: response.body}
	if err := peer.SetRemoteDescription(answer); err != nil {
		return nil, fmt.Errorf("%w; the answer was\n%s", err, response.body)
	}
	base, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	return base.Parse(response.location)
}

// receive waits for complete frames that begin with a key frame, or for as many audio packets.
func receive(track *webrtc.TrackRemote) error {
	var depacketizer codecs.H264Packet
	var frame []byte
	count := 0
	for count < frames {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return err
		}
		if track.Kind() == webrtc.RTPCodecTypeAudio {
			count++
			continue
		}
		part, err := depacketizer.Unmarshal(packet.Payload)
		if err != nil {
			return err
		}
		frame = append(frame, part...)
		if packet.Marker {
			if count == 0 && !isKeyFrame(frame) {
				return errors.New("the first frame is no key frame")
			}
			frame = nil
			count++
		}
	}
	fmt.Println(count, track.Codec().MimeType, track.Codec().SDPFmtpLine)
	return nil
}

// isKeyFrame tells whether an access unit begins with a sequence parameter set.
func isKeyFrame(frame []byte) bool {
	return len(frame) > 4 && string(frame[:4]) == "\x00\x00\x00\x01" && frame[4]&0x1f == 7
}

type response struct{ body, location string }

// request sends SDP over HTTP.
func request(method, target, body string) (response, error) {
	sent, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		return response{}, err
	}
	sent.Header.Set("Content-Type", "application/sdp")
	client := http.Client{Timeout: deadline}
	answer, err := client.Do(sent)
	if err != nil {
		return response{}, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s %s", method, target, answer.Status, text)
	}
	return response{string(text), answer.Header.Get("Location")}, err
}
