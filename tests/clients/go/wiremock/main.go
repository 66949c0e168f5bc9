// Makes, lists, counts and removes faults, and reads the journal, with WireMock's client for Go.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/wiremock/go-wiremock"
)

const (
	id    = "/computeMetadata/v1/instance/id"
	token = "/computeMetadata/v1/instance/service-accounts/default/token"
)

func check(holds bool, what ...any) {
	if !holds {
		log.Fatal(what...)
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// ask sends a request for metadata, and returns the answer with its body.
func ask(path string) (*http.Response, string, error) {
	request, err := http.NewRequest("GET", "http://"+os.Getenv("GCE_METADATA_HOST")+path, nil)
	must(err)
	request.Header.Set("Metadata-Flavor", "Google")
	// A new connection each time: net/http retries on a connection that was reset before.
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer, string(body), err
}

// faults returns the ids of all faults. WireMock's client has no function for that.
func faults() []string {
	answer, err := http.Get(os.Getenv("GCE_METADATA_ADMIN") + "/__admin/mappings")
	must(err)
	defer answer.Body.Close()
	var list struct {
		Mappings []struct{ ID string }
	}
	must(json.NewDecoder(answer.Body).Decode(&list))
	ids := []string{}
	for _, mapping := range list.Mappings {
		ids = append(ids, mapping.ID)
	}
	return ids
}

func main() {
	mock := wiremock.NewClient(os.Getenv("GCE_METADATA_ADMIN"))

	// Make.
	tokens := wiremock.URLPathMatching("/computeMetadata/v1/instance/service-accounts/[^/]+/token")
	busy := wiremock.NewResponse().WithStatus(503).WithHeader("Retry-After", "1").WithBody("try later")
	stub := wiremock.Get(tokens).AtPriority(1).WillReturnResponse(busy.WithFixedDelay(50 * time.Millisecond))
	must(mock.StubFor(stub))
	answer, body, err := ask(token)
	must(err)
	check(answer.StatusCode == 503 && answer.Header.Get("Retry-After") == "1" && body == "try later", answer, body)
	answer, _, err = ask(id)
	must(err)
	check(answer.StatusCode == 200, answer)

	// List.
	check(len(faults()) == 1 && faults()[0] == stub.UUID(), faults())

	// Count, and the journal.
	counted, err := mock.Verify(wiremock.NewRequest("GET", wiremock.URLPathEqualTo(token)), 1)
	must(err)
	check(counted, "the request for a token is counted")
	all, err := mock.GetAllRequests()
	must(err)
	check(len(all.Requests) == 2, all)

	// A connection that is reset.
	reset := wiremock.Get(wiremock.URLPathEqualTo(id)).
		WillReturnResponse(wiremock.NewResponse().WithFault(wiremock.FaultConnectionResetByPeer))
	must(mock.StubFor(reset))
	_, _, err = ask(id)
	check(err != nil && strings.Contains(err.Error(), "connection reset by peer"), err)
	must(mock.DeleteStub(reset))

	// A slow body.
	slow := wiremock.Get(wiremock.URLPathEqualTo(id)).
		WillReturnResponse(wiremock.OK().WithBody("slow").WithChunkedDribbleDelay(2, 20*time.Millisecond))
	must(mock.StubFor(slow))
	_, body, err = ask(id)
	must(err)
	check(body == "slow", body)
	must(mock.DeleteStubByID(slow.UUID()))

	// What this server can't do is refused with its name.
	garbage := wiremock.NewResponse().WithFault(wiremock.FaultRandomDataThenClose)
	for pointer, refused := range map[string]*wiremock.StubRule{
		"/response/fault":       wiremock.Get(wiremock.URLPathEqualTo(id)).WillReturnResponse(garbage),
		"/scenarioName":         wiremock.Get(wiremock.URLPathEqualTo(id)).InScenario("a"),
		"/request/bodyPatterns": wiremock.Get(wiremock.URLPathEqualTo(id)).WithBodyPattern(wiremock.EqualTo("a")),
	} {
		err := mock.StubFor(refused)
		check(err != nil && strings.Contains(err.Error(), "422") && strings.Contains(err.Error(), pointer), pointer, err)
	}

	// Remove.
	check(len(faults()) == 1, faults())
	must(mock.DeleteAllRequests())
	must(mock.Clear())
	check(len(faults()) == 0, faults())
	answer, _, err = ask(token)
	must(err)
	check(answer.StatusCode == 200, answer)
}
