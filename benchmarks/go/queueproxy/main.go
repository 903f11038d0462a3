// Knative's queue-proxy, which comes as a Go module only.
package main

import (
	"os"

	"knative.dev/serving/pkg/queue/sharedmain"
)

func main() {
	if sharedmain.Main() != nil {
		os.Exit(1)
	}
}
