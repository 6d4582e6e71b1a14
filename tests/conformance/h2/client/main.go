// Asks a server at the URL given, by Go's client of HTTP/2: many requests at once, a body each way, one that is
// given up. Exit status 1, with the reason, when an answer isn't as expected.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	"golang.org/x/net/http2"
)

const atOnce = 100

func main() {
	url := os.Args[1]
	transport := &http2.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	if url[:5] == "http:" {
		transport.AllowHTTP = true
		transport.DialTLSContext = func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
	}
	client := &http.Client{Transport: transport}
	var wait sync.WaitGroup
	for i := 0; i < atOnce; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			check(get(client, url+"/"))
		}()
	}
	wait.Wait()
	check(post(client, url+"/", 1<<20))
	check(giveUp(client, url+"/endless"))
	check(get(client, url+"/"))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// read returns the body of a response by HTTP/2.
func read(response *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != 200 || response.ProtoMajor != 2) {
		err = fmt.Errorf("%s by %s", response.Status, response.Proto)
	}
	return string(body), err
}

func get(client *http.Client, url string) error {
	body, err := read(client.Get(url))
	if err == nil && body != "a few bytes" {
		err = fmt.Errorf("another body: %q", body)
	}
	return err
}

func post(client *http.Client, url string, size int) error {
	body, err := read(client.Post(url, "application/octet-stream", bytes.NewReader(make([]byte, size))))
	if err == nil && body != fmt.Sprint(size) {
		err = fmt.Errorf("another length: %q", body)
	}
	return err
}

// giveUp reads the beginning of a response that doesn't end.
func giveUp(client *http.Client, url string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.ReadFull(response.Body, make([]byte, 100))
	cancel()
	response.Body.Close()
	return err
}
