// Package items has the data set that both of the arena's Go programs serve.
package items

import (
	"encoding/json"
	"os"
	"path/filepath"
)

type Rating struct {
	Score int `json:"score"`
	Count int `json:"count"`
}

type Item struct {
	ID       int      `json:"id"`
	Name     string   `json:"name"`
	Category string   `json:"category"`
	Price    int      `json:"price"`
	Quantity int      `json:"quantity"`
	Active   bool     `json:"active"`
	Tags     []string `json:"tags"`
	Rating   Rating   `json:"rating"`
	Total    int      `json:"total"`
}

type Page struct {
	Items []Item `json:"items"`
	Count int    `json:"count"`
}

// Folder is where dataset.json and the static files are.
func Folder() string { return os.Getenv("ARENA_DATA") }

// Compresses says whether responses are compressed, by gzip's fastest level.
func Compresses() bool { return os.Getenv("ARENA_COMPRESS") != "" }

// Certificate is where a certificate and its key are; empty without TLS.
func Certificate() (string, string) { return os.Getenv("ARENA_CERT"), os.Getenv("ARENA_KEY") }

// Load reads the data set.
func Load() []Item {
	text, err := os.ReadFile(filepath.Join(Folder(), "dataset.json"))
	if err != nil {
		panic(err)
	}
	var all []Item
	if err := json.Unmarshal(text, &all); err != nil {
		panic(err)
	}
	return all
}

// Priced copies the first count items and adds their totals.
func Priced(all []Item, count, factor int) Page {
	count = max(0, min(count, len(all)))
	some := make([]Item, count)
	copy(some, all)
	for i := range some {
		some[i].Total = some[i].Price * some[i].Quantity * factor
	}
	return Page{some, count}
}
