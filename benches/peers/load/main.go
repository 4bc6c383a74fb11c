// Viewers that receive and count, and decode nothing, so that many of them fit beside the server that is measured. They
// are WHEP players on Pion, with the feedback that browsers send: receiver reports, NACK and transport-wide feedback.
//
//	load [-parallel N] [-mjpeg] URL COUNT
//
// It joins COUNT viewers, a few at a time, and prints one JSON object a line: `join` for each that has its first picture,
// `ready` when all have one, and for each line of standard input `counts`, what all of them have received so far. At the
// end of the input they leave. The URL `udp:` makes receivers of bare RTP, whose `ports` it prints first, and `-mjpeg` readers of a multipart stream.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"log"
	"os"
	"strconv"
	"sync"
	"time"
)

// deadline is for one viewer's first picture.
const deadline = 30 * time.Second

func main() {
	log.SetFlags(0)
	parallel := flag.Int("parallel", 8, "how many join at the same time")
	mjpeg := flag.Bool("mjpeg", false, "whether the URL is that of a multipart stream")
	flag.Parse()
	count, err := strconv.Atoi(flag.Arg(1))
	if flag.NArg() != 2 || err != nil {
		log.Fatal("usage: load [-parallel N] [-mjpeg] URL COUNT")
	}
	viewers, err := watch(flag.Arg(0), count, *parallel, *mjpeg)
	if err != nil {
		log.Fatal(err)
	}
	say(map[string]int{"ready": count})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var sum counts
		for _, viewer := range viewers {
			sum.add(viewer.counts())
		}
		say(map[string]counts{"counts": sum})
	}
	var left sync.WaitGroup
	for _, viewer := range viewers {
		left.Add(1)
		go func() {
			defer left.Done()
			viewer.end()
		}()
	}
	left.Wait()
}

// watch returns viewers that have had their first picture, or for the URL `udp:` their first packet.
func watch(url string, count, parallel int, mjpeg bool) ([]*viewer, error) {
	if url == "udp:" {
		return receivers(count)
	}
	if mjpeg {
		return joinAll(count, parallel, func() (*viewer, error) { return readMJPEG(url) })
	}
	api, err := newAPI()
	if err != nil {
		return nil, err
	}
	return joinAll(count, parallel, func() (*viewer, error) { return join(api, url) })
}

// joinAll joins viewers, some at the same time; the first failure ends it.
func joinAll(count, parallel int, join func() (*viewer, error)) ([]*viewer, error) {
	places := make(chan struct{}, parallel)
	type result struct {
		viewer *viewer
		err    error
	}
	results := make(chan result, count)
	for range count {
		go func() {
			places <- struct{}{}
			defer func() { <-places }()
			viewer, err := join()
			results <- result{viewer, err}
		}()
	}
	var viewers []*viewer
	for range count {
		result := <-results
		if result.err != nil {
			return nil, result.err
		}
		say(map[string]joined{"join": result.viewer.joined})
		viewers = append(viewers, result.viewer)
	}
	return viewers, nil
}

func say(what any) {
	if err := json.NewEncoder(os.Stdout).Encode(what); err != nil {
		log.Fatal(err)
	}
}
