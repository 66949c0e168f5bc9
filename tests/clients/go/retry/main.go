// A client of scripts/retry-matrix: gets an access token with compute/metadata or with x/oauth2, as its argument says.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2/google"
)

// NoToken is the error of an answer that the library has accepted.
type NoToken struct{}

func (NoToken) Error() string { return "not JSON" }

// getTokens gets as many tokens as times says.
func getTokens(library string, times int) error {
	if library == "compute/metadata" {
		for range times {
			answer, err := metadata.Get("instance/service-accounts/default/token")
			if err != nil {
				return err
			}
			// The library returns text; its callers parse it.
			if !json.Valid([]byte(answer)) {
				return NoToken{}
			}
		}
		return nil
	}
	found, err := google.FindDefaultCredentials(context.Background(), "https://www.googleapis.com/auth/cloud-platform")
	if err != nil {
		return err
	}
	for range times {
		if _, err := found.TokenSource.Token(); err != nil {
			return err
		}
	}
	return nil
}

// class is the type of the innermost error, or its text if the type says nothing.
func class(err error) string {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	name := strings.TrimPrefix(strings.TrimPrefix(fmt.Sprintf("%T", err), "*"), "main.")
	if text := err.Error(); len(text) < 30 && (name == "errors.errorString" || name == "syscall.Errno") {
		return text
	}
	return name
}

func main() {
	times, err := strconv.Atoi(os.Getenv("TOKENS"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("started")
	if err := getTokens(os.Args[1], times); err != nil {
		log.Print(err)
		fmt.Println("error", class(err))
		return
	}
	fmt.Println("ok")
}
