package main

import (
	"bufio"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"time"
)

// readMJPEG returns a viewer that has had the first picture of a multipart stream.
func readMJPEG(endpoint string) (*viewer, error) {
	// It lasts for as long as the viewer watches.
	endless := http.Client{Transport: &http.Transport{DisableCompression: true}}
	begin := time.Now()
	response, err := endless.Get(endpoint)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		return nil, fmt.Errorf("GET %s: %s", endpoint, response.Status)
	}
	viewer := &viewer{end: func() { _ = response.Body.Close() }}
	viewer.joined.Answered = since(begin)
	stream := bufio.NewReaderSize(response.Body, 1<<16)
	if err := viewer.readPicture(stream); err != nil {
		return nil, err
	}
	viewer.joined.Packet = since(begin)
	viewer.joined.Picture = viewer.joined.Packet
	go func() {
		for viewer.readPicture(stream) == nil {
		}
	}()
	return viewer, nil
}

// readPicture counts one part, which has to say how long it is.
func (viewer *viewer) readPicture(stream *bufio.Reader) error {
	var header textproto.MIMEHeader
	// Before the header of a part are its boundary and empty lines.
	for header.Get("Content-Length") == "" {
		line, err := stream.ReadString('\n')
		if err != nil {
			return err
		}
		if len(line) > 2 && line[:2] == "--" {
			if header, err = textproto.NewReader(stream).ReadMIMEHeader(); err != nil {
				return err
			}
		}
	}
	length, err := strconv.Atoi(header.Get("Content-Length"))
	if err != nil {
		return err
	}
	if _, err := stream.Discard(length); err != nil {
		return err
	}
	viewer.lock.Lock()
	defer viewer.lock.Unlock()
	viewer.received.Packets++
	viewer.received.Bytes += uint64(length)
	viewer.received.Pictures++
	return nil
}
