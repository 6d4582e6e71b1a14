// The arena's routes on Go's net/http.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"

	"fluvial.example/arena/items"
)

var all = items.Load()

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
	_, _ = w.Write(body)
}

func main() {
	http.HandleFunc("/baseline11", add)
	http.HandleFunc("/pipeline", func(w http.ResponseWriter, _ *http.Request) { text(w, "ok") })
	http.HandleFunc("/json/{count}", some)
	http.Handle("/static/", http.FileServer(http.Dir(items.Folder())))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
