package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

var host, admin = os.Getenv("GCE_METADATA_HOST"), os.Getenv("GCE_METADATA_ADMIN")

// send returns the body and the entity tag of the answer.
func send(method, url, body string) (string, string) {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Metadata-Flavor", "Google")
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode > 299 {
		log.Fatal(answer.Status, string(text), err)
	}
	return string(text), answer.Header.Get("ETag")
}

func metadata(path string) (string, string) {
	return send("GET", "http://"+host+"/computeMetadata/v1/"+path, "")
}

// change changes the metadata or the tokens by the admin API.
func change(path, value string) {
	send("PUT", admin+"/__admin/"+path, value)
}

func main() {
	// Change a value.
	change("metadata/instance/attributes/color", `"blue"`)
	color, _ := metadata("instance/attributes/color")
	fmt.Println("color:", color)

	// See a long poll wake.
	_, tag := metadata("instance/preempted")
	go change("metadata/instance/preempted", `"TRUE"`)
	preempted, _ := metadata("instance/preempted?wait_for_change=true&last_etag=" + tag)
	fmt.Println("preempted:", preempted)

	// Make tokens expire in ten seconds.
	change("tokens/default", `{"lifetime": 10}`)
	var token struct {
		ExpiresIn int `json:"expires_in"`
	}
	text, _ := metadata("instance/service-accounts/default/token")
	if err := json.Unmarshal([]byte(text), &token); err != nil {
		log.Fatal(err)
	}
	fmt.Println("expires within 10 s:", token.ExpiresIn <= 10)
}
