// h2spec, and the versions of what it needs, for run.py, which builds it.
module h2spec

go 1.19

require (
	github.com/fatih/color v1.16.0
	github.com/inconshreveable/mousetrap v1.1.0
	github.com/mattn/go-colorable v0.1.13
	github.com/mattn/go-isatty v0.0.20
	github.com/spf13/cobra v1.8.0
	github.com/spf13/pflag v1.0.5
	github.com/summerwind/h2spec v2.2.1+incompatible
	golang.org/x/net v0.17.0
	golang.org/x/sys v0.14.0
	golang.org/x/text v0.14.0
)
