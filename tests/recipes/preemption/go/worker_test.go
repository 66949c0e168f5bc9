package worker

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

func TestTheWorkIsSavedWhenTheMachineIsPreempted(t *testing.T) {
	scenarios := os.Getenv("GCE_METADATA_ADMIN") + "/__admin/scenarios"
	saved := make(chan bool, 1)
	go Work(t.Context(), func() error { saved <- true; return nil })
	run := strings.NewReader(`{"parameters": {"notice": 120}}`)
	if answer, err := http.Post(scenarios+"/preemption/run", "application/json", run); err != nil || answer.StatusCode != 202 {
		t.Fatal(answer, err)
	}
	<-saved
	http.Post(scenarios+"/reset", "", nil)
}
