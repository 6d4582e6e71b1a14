// The arena's routes on Go's net/http.
package main

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"fluvial.example/arena/items"
	"github.com/gorilla/websocket"
)

var (
	all      = items.Load()
	upgrader = websocket.Upgrader{}
	writers  = sync.Pool{New: func() any {
		writer, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		return writer
	}}
)

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return value
}

func text(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, body)
}

func add(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	total := number(query.Get("a")) + number(query.Get("b"))
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		total += number(string(body))
	}
	text(w, strconv.Itoa(total))
}

func some(w http.ResponseWriter, r *http.Request) {
	page := items.Priced(all, number(r.PathValue("count")), number(r.URL.Query().Get("m")))
	body, err := json.Marshal(page)
	if err != nil {
		http.Error(w, err.Error(), 500)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if items.Compresses() && len(body) >= 500 && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		writer := writers.Get().(*gzip.Writer)
		defer writers.Put(writer)
		writer.Reset(w)
		_, _ = writer.Write(body)
		_ = writer.Close()
		return
	}
	_, _ = w.Write(body)
}

func upload(w http.ResponseWriter, r *http.Request) {
	size, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		http.Error(w, err.Error(), 400)
		return
	}
	text(w, strconv.FormatInt(size, 10))
}

func echo(w http.ResponseWriter, r *http.Request) {
	socket, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer socket.Close()
	for {
		kind, message, err := socket.ReadMessage()
		if err != nil || socket.WriteMessage(kind, message) != nil {
			return
		}
	}
}

func main() {
	http.HandleFunc("/baseline11", add)
	http.HandleFunc("/pipeline", func(w http.ResponseWriter, _ *http.Request) { text(w, "ok") })
	http.HandleFunc("/json/{count}", some)
	http.Handle("/static/", http.FileServer(http.Dir(items.Folder())))
	http.HandleFunc("/upload", upload)
	http.HandleFunc("/ws", echo)
	address := "127.0.0.1:" + os.Args[1]
	if cert, key := items.Certificate(); cert != "" {
		log.Fatal(http.ListenAndServeTLS(address, cert, key, nil))
	}
	log.Fatal(http.ListenAndServe(address, nil))
}
