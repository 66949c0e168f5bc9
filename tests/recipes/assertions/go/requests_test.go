// Package app: what the program asked of the metadata server. Run by: gce-metadata-server exec -- go test ./...
package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"

	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/credentials/idtoken"
)

const (
	token    = "instance/service-accounts/*/token"
	identity = "instance/service-accounts/*/identity"
	scope    = "https://www.googleapis.com/auth/devstorage.read_only"
	audience = "https://service.example.com"
)

// program is the program under test.
func program(ctx context.Context) error {
	found, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: []string{scope}})
	if err != nil {
		return err
	}
	for range 3 {
		if _, err := found.Token(ctx); err != nil {
			return err
		}
	}
	service, err := idtoken.NewCredentials(&idtoken.Options{Audience: audience})
	if err != nil {
		return err
	}
	_, err = service.Token(ctx)
	return err
}

// An object is one in JSON.
type object map[string]any

// send sends a request to the admin API, and returns the status and the body of the answer.
func send(t *testing.T, method, path string, body any) (int, []byte) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(method, os.Getenv("GCE_METADATA_ADMIN")+"/__admin/"+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err = io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, text
}

// verify asserts how often the server received such a request.
func verify(t *testing.T, request object, times object) {
	t.Helper()
	status, body := send(t, "POST", "requests/verify", object{"request": request, "times": times})
	if status != http.StatusAccepted {
		t.Error(string(body))
	}
}

func runProgram(t *testing.T) {
	t.Helper()
	send(t, "DELETE", "requests", object{})
	if err := program(t.Context()); err != nil {
		t.Fatal(err)
	}
}

var once, never = object{"atLeast": 1}, object{"atMost": 0}

func TestAccessTokenHasOneScope(t *testing.T) {
	runProgram(t)
	verify(t, object{"path": token, "queryParameters": object{"scopes": object{"equalTo": scope}}}, once)
	verify(t, object{"path": token, "queryParameters": object{"scopes": object{"doesNotMatch": scope}}}, never)
}

func TestIdentityTokenIsForTheService(t *testing.T) {
	runProgram(t)
	verify(t, object{"path": identity, "queryParameters": object{"audience": object{"equalTo": audience}}}, once)
}

func TestEveryRequestHasTheHeader(t *testing.T) {
	runProgram(t)
	verify(t, object{"headers": object{"Metadata-Flavor": object{"equalTo": "Google"}}}, once)
	verify(t, object{"headers": object{"Metadata-Flavor": object{"absent": true}}}, never)
}

func TestTokenIsRequestedAtMostOnceAMinute(t *testing.T) {
	runProgram(t)
	_, body := send(t, "POST", "requests/find", object{"path": token})
	var found struct {
		Requests []struct {
			LoggedDate int64 `json:"loggedDate"`
		} `json:"requests"`
	}
	if err := json.Unmarshal(body, &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Requests) == 0 {
		t.Fatal("no token was requested")
	}
	for index := range found.Requests[1:] {
		if found.Requests[index+1].LoggedDate-found.Requests[index].LoggedDate < 60_000 {
			t.Error(string(body))
		}
	}
}
