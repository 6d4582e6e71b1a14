// The arena's routes on fasthttp.
package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"os"
	"strconv"

	"fluvial.example/arena/items"
	"github.com/valyala/fasthttp"
)

var (
	all   = items.Load()
	files = (&fasthttp.FS{Root: items.Folder()}).NewRequestHandler()
)

func number(text []byte) int {
	value, err := strconv.Atoi(string(text))
	if err != nil {
		return 0
	}
	return value
}

func serve(ctx *fasthttp.RequestCtx) {
	path := ctx.Path()
	switch {
	case bytes.Equal(path, []byte("/baseline11")):
		args := ctx.QueryArgs()
		total := args.GetUintOrZero("a") + args.GetUintOrZero("b")
		if ctx.IsPost() {
			total += number(ctx.PostBody())
		}
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString(strconv.Itoa(total))
	case bytes.Equal(path, []byte("/pipeline")):
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString("ok")
	case bytes.Equal(path, []byte("/upload")):
		size, err := io.Copy(io.Discard, ctx.RequestBodyStream())
		if err != nil {
			ctx.Error(err.Error(), 400)
			return
		}
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString(strconv.FormatInt(size, 10))
	case bytes.HasPrefix(path, []byte("/json/")):
		page := items.Priced(all, number(path[len("/json/"):]), ctx.QueryArgs().GetUintOrZero("m"))
		body, err := json.Marshal(page)
		if err != nil {
			ctx.Error(err.Error(), 500)
			return
		}
		ctx.SetContentType("application/json")
		ctx.SetBody(body)
	case bytes.HasPrefix(path, []byte("/static/")):
		files(ctx)
	default:
		ctx.Error("not found", 404)
	}
}

func main() {
	handler := serve
	if items.Compresses() {
		handler = fasthttp.CompressHandlerLevel(serve, fasthttp.CompressBestSpeed)
	}
	server := &fasthttp.Server{Handler: handler, MaxRequestBodySize: 64 << 20, StreamRequestBody: true}
	address := "127.0.0.1:" + os.Args[1]
	if cert, key := items.Certificate(); cert != "" {
		log.Fatal(server.ListenAndServeTLS(address, cert, key))
	}
	log.Fatal(server.ListenAndServe(address))
}
